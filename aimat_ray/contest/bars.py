"""The two bars that the project set itself on the synthetic worlds, from stored results."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from aimat_ray.contest.statistics import Estimate, over_problems
from aimat_ray.contest.tables import Results, of_family

AS_PUBLISHED, NSGA2, OURS = ("td3_paper", "td3_paper_16"), "nsga2", "td3"  # as published: the first that has run
OTHERS = (*AS_PUBLISHED, "ddpg")  # trained by the same code, but none of our configurations
TIMES_PUBLISHED, TIMES_CHEAPER = 3.0, 10.0


@dataclass(frozen=True)
class HitsBar:
    """True different designs at the last point.

    Attributes:
        method: Our best configuration.
        ours: Its hits.
        published: Those of TD3 as published, on the same problems and seeds.
        other: Which form of it that is.
    """

    method: str
    other: str
    ours: Estimate
    published: Estimate

    @property
    def ratio(self) -> float:
        """How many times as many; infinite against none."""
        return self.ours.mean / self.published.mean if self.published.mean > 0 else float("inf")

    @property
    def met(self) -> bool:
        """Whether the bar is met."""
        return self.ours.mean > 0 and self.ratio >= TIMES_PUBLISHED


@dataclass(frozen=True)
class CostBar:
    """Predictions per true design, over the runs that had one.

    Attributes:
        method: Our best configuration.
        ours: Its cost after training, at the last point.
        theirs: NSGA-II's at the last point.
        cheapest: NSGA-II's where it is cheapest: a list is limited, so a search is cheapest where it stops early.
        cheapest_point: Where that is.
    """

    method: str
    ours: Estimate
    theirs: Estimate
    cheapest: Estimate
    cheapest_point: int

    @property
    def ratio(self) -> float:
        """NSGA-II's cost over ours."""
        return self.theirs.mean / self.ours.mean

    @property
    def met(self) -> bool:
        """Whether the bar is met."""
        return self.ratio >= TIMES_CHEAPER


def hits_bar(results: Results) -> HitsBar | None:
    """The first bar; None where one of the two has not run on a synthetic world."""
    last = _last(results)
    best = best_td3(results, last)
    other = next((name for name in AS_PUBLISHED if len(last) and (last["method"] == name).any()), None)
    if best is None or other is None:
        return None
    published = last[last["method"] == other]
    runs = set(zip(published["problem"], published["seed"], strict=True))
    own = last[last["method"] == best]
    same = own[[run in runs for run in zip(own["problem"], own["seed"], strict=True)]]
    if not len(same):
        return None
    return HitsBar(best, other, over_problems(same, "hits"), over_problems(published, "hits"))


def cost_bar(results: Results) -> CostBar | None:
    """The second bar; None where one of the two has no true design on a synthetic world."""
    table, last = of_family(results, "synthetic"), _last(results)
    best = best_td3(results, last)
    if best is None:
        return None
    ours = over_problems(last[last["method"] == best], "predictions_per_hit")
    theirs = table[table["method"] == NSGA2]
    points = [int(point) for point in results.note["points"]]
    costs = {point: over_problems(theirs[theirs["point"] == point], "predictions_per_hit") for point in points}
    costs = {point: cost for point, cost in costs.items() if cost.n}
    last_point = points[-1]
    if not ours.n or last_point not in costs:
        return None
    cheapest = min(costs, key=lambda point: costs[point].mean)
    return CostBar(best, ours, costs[last_point], costs[cheapest], cheapest)


def best_td3(results: Results, last: pd.DataFrame) -> str | None:
    """Our configuration with most hits among those with most runs; a variant with fewer runs is no rival."""
    kinds = results.note["methods"]
    found = {}
    for method in dict.fromkeys(last["method"]) if len(last) else ():
        if kinds.get(method, {}).get("kind") == OURS and not method.startswith(OTHERS):
            found[method] = over_problems(last[last["method"] == method], "hits")
    most = max((estimate.n for estimate in found.values()), default=0)
    rivals = [name for name, estimate in found.items() if estimate.n == most]
    return max(rivals, key=lambda name: found[name].mean) if rivals else None


def _last(results: Results) -> pd.DataFrame:
    table = of_family(results, "synthetic")
    return table[table["point"] == results.note["points"][-1]] if len(table) else table
