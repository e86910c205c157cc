"""Success against surrogate predictions spent: what each method reaches for the price of a few, or of thousands."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from aimat_ray.env.episodes import CountingPredictor, Episodes, run_episodes
from aimat_ray.rl.forms import NOISY
from aimat_ray.rl.methods import MakeChooser, MethodResult, distilled_counter, test_starts
from aimat_ray.rl.policy import Policy, PolicyProposals
from aimat_ray.rl.prepare import Workbench
from aimat_ray.rl.statistics import Rate
from aimat_ray.search.controls import Greedy, LocalSearch

BUDGETS = tuple(2**n for n in range(2, 13))  # 4 to 4,096 predictions
_LEFT_OUT = ("zero_action", "random", NOISY)  # they would crowd the picture; their rates are in the table
_LONG_LOCAL_STEPS = 512

Points = list[dict[str, float]]


def success_curves(
    bench: Workbench,
    results: dict[str, MethodResult],
    policy: Policy | None,
    main: str,
) -> dict[str, Points]:
    """Curves of the evaluated methods, and of searches with fewer and more candidates per step.

    A method's curve comes from its episodes as they are: a walk counts at every budget that its way to the goal fits
    into, and none counts beyond the price of the longest walk.

    Args:
        bench: What the run works with.
        results: The evaluated methods.
        policy: The trained policy, if any.
        main: The method that the run is about.

    Returns:
        Method -> points with predictions, mean, lower, upper and n.
    """
    names = [main, *(name for name in results if name != main and name not in _LEFT_OUT)]
    curves = {name: curve(results[name].episodes) for name in names}
    for name, (make, max_steps) in _further(policy).items():
        episodes = _walk(bench, make, max_steps)
        if episodes is not None:
            curves[name] = curve([episodes])
    if "local_search_long" in curves and main != "local_search":
        del curves["local_search"]  # the same walks, cut off earlier
    return {name: points for name, points in curves.items() if points}


def curve(episodes: Sequence[Episodes]) -> Points:
    """Success at growing budgets, up to the first one that no walk exceeds."""
    spent = np.concatenate([e.spent for e in episodes])
    goal = np.concatenate([e.goal for e in episodes])
    points: Points = []
    for budget in BUDGETS:
        rate = Rate.of(int((goal & (spent <= budget)).sum()), len(goal))
        points.append({"predictions": float(budget)} | rate.as_dict())
        if budget >= spent.max(initial=0.0):
            break
    return points


def _further(policy: Policy | None) -> dict[str, tuple[MakeChooser, int | None]]:
    """Searches that are run for their curves alone."""

    def greedy(k: int) -> tuple[MakeChooser, int | None]:
        return (lambda bench, counter, net: Greedy(bench.task, counter, k)), None

    def looking(k: int, proposals: PolicyProposals) -> tuple[MakeChooser, int | None]:
        return (lambda bench, counter, net: Greedy(bench.task, counter, k, proposer=proposals)), None

    found: dict[str, tuple[MakeChooser, int | None]] = {"greedy_4": greedy(4), "greedy_64": greedy(64)}
    found["local_search_long"] = (lambda bench, counter, net: LocalSearch(bench.task, counter)), _LONG_LOCAL_STEPS
    if policy is not None:
        proposals = PolicyProposals(policy)
        found |= {"policy_lookahead_4": looking(4, proposals), "policy_lookahead_64": looking(64, proposals)}
    return found


def _walk(bench: Workbench, make: MakeChooser, max_steps: int | None) -> Episodes | None:
    """Episodes from the first test starts; None when the settings ask for none."""
    stream, start = next(test_starts(bench))
    start = start.rows(np.arange(min(bench.settings.evaluation.curve_episodes, len(start))))
    if len(start) == 0:
        return None
    counter = CountingPredictor(bench.predictor)
    rng = np.random.default_rng([bench.settings.seed, stream, 2])
    choose = make(bench, counter, distilled_counter(bench))
    return run_episodes(bench.task, counter, start, choose, rng, max_steps=max_steps)
