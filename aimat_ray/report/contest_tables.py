"""Markdown tables of a contest."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from aimat_ray.contest.bars import OURS, cost_bar, hits_bar
from aimat_ray.contest.statistics import over_problems
from aimat_ray.contest.tables import Results
from aimat_ray.report.contest_words import amount, interval, share, title_of
from aimat_ray.rl.forms import NOISY, POLICY, POLICY_BY_NET, REJECTING

_UNAIDED = {NOISY: "with run-time noise", POLICY_BY_NET: "looking ahead by a distilled net"}  # nothing is taken back
STAGES = ("n", "legal", "window", "feasible", "thresholds", "in_domain", "confirmed", "true")


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A table; the first column is text, the others are numbers."""
    lines = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
    return lines + ["| " + " | ".join(row) + " |" for row in rows]


def ran_lines(results: Results) -> list[str]:
    """What was run, where, when and for how long."""
    note, cells = results.note, results.cells
    size = "a run with --quick, which only shows that everything works" if note["quick"] else "the contest"
    if not len(cells):
        return [f"Made by `aimat compare` from stored tables ({size}); no cell has run."]
    dates = sorted(set(cells["date"]))
    when = dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"
    cores = sorted({int(c) for c in cells["cores"]})
    seeds = cells.groupby(["method", "problem"])["seed"].nunique()
    points = ", ".join(f"{p:,}" for p in note["points"])
    return [
        f"Made by `aimat compare` from stored tables ({size}). {len(cells)} cells (method × problem × seed) ran on "
        f"{when}, one process each, on a machine with {', '.join(map(str, cores))} cores that did other work too: "
        f"{cells['cpu_seconds'].sum() / 3600:.1f} CPU hours, {cells['seconds'].sum() / 3600:.1f} hours of wall time "
        f"summed over cells; {_range(seeds.min(), seeds.max())} per method and problem. " + _code_words(note["code"]),
        "",
        f"At {points} predictions every method hands in at most {note['list_size']} designs, and a referee predicts "
        "them anew. Everything that asks the surrogate is paid: starts, training, the archive behind labels, walks. "
        f"A learner keeps {note['walk_share']:.0%} of each point's budget for walks of its deterministic policy from "
        "fresh starts, which end when its list is full; training rollouts are never handed in, and the first points "
        "are empty where nothing is trained yet. Lists are the best different compositions, by the robust margin, "
        "among those that a search has evaluated or the policy's walks have passed. "
        f"Bayesian optimisation makes {note['bayes_evaluations']} evaluations (its cost is cubic) and then stands "
        "still. Nobody was tuned here: every method runs at its library's or its published settings, ours at the "
        "defaults of this package, which were found on other runs of the same kind of problem.",
        "",
        "Numbers are interquartile means over problems and seeds with 95 % bootstrap intervals (seeds resampled within "
        "each problem; scipy in place of rliable, same definitions). *Hits* are different designs at 1 at% that are "
        "truly at the goal (synthetic data) or confirmed by the judge (measured data).",
    ]


def _code_words(hashes: Sequence[str]) -> str:
    one = len(hashes) == 1
    return f"They ran one state of the code ({hashes[0]})." if one else f"States of the code: {', '.join(hashes)}."


def ranking_lines(results: Results, table: pd.DataFrame, word: str) -> list[str]:
    """Hits at each point, best at the last point first."""
    points = results.note["points"]
    head = ["method", *(f"hits at {p:,}" for p in points), "systems", "families", "predictions per hit",
            "first hit by", "volume", "CPU s", "runs"]  # fmt: skip
    rows = []
    for method, part in _ranked(table, points[-1]):
        last = part[part["point"] == points[-1]]
        cells = [interval(over_problems(part[part["point"] == point], "hits"), 0) for point in points]
        rows.append([
            title_of(results, method), *cells,
            amount(over_problems(last, f"systems_{word}")), amount(over_problems(last, f"families_{word}")),
            amount(over_problems(last, "predictions_per_hit")), _first_hit(part),
            share(over_problems(last, "hypervolume").mean), amount(over_problems(last, "cpu_seconds")), str(len(last)),
        ])  # fmt: skip
    words = [
        "",
        "Predictions per hit: of a learner after training (its walks alone), of a search everything it spent, over the "
        "runs that had a hit. First hit by: median over runs of the first point with a hit (– where most had none). "
        "Rows with fewer runs come from fewer problems or seeds: compare rows of equal runs, and read a row without an "
        "interval as one run of each. Volume: share of the box up to 1.5 times the bounds that the hits dominate.",
    ]
    return markdown(head, rows) + words


def rates_lines(results: Results, table: pd.DataFrame) -> list[str]:
    """The published Table 2, of lists instead of steps."""
    last = table[table["point"] == results.note["points"][-1]]
    columns = {
        "sr_legal": "SR legal", "sr_cls": "SR cls", "sr80_yield_strength_mpa": "SR80 yield",
        "sr80_elongation_pct": "SR80 elongation", "sr80_dmax_mm": "SR80 Dmax",
        "sr80_youngs_modulus_gpa": "SR80 modulus",
        "sr_goal": "at goal",
    }  # fmt: skip
    columns = {key: words for key, words in columns.items() if key in last and last[key].notna().any()}
    rows = [
        [title_of(results, method), *(share(over_problems(part, key).mean) for key in columns),
         _rate(part, "thresholds", "confirmed"), _rate(part, "thresholds", "true"),
         _rate(part, "walks", "walks_at_goal")]
        for method, part in _ranked(table, results.note["points"][-1], last)
    ]  # fmt: skip
    head = ["method", *columns.values(), "confirmed per goal", "true per goal", "strict rate of walks"]
    words = (
        "Of the designs handed in, but for the last column: walks of the trained policy that reach the goal they were "
    )
    return [*markdown(head, rows), "", words + "trained for, deterministic, from fresh starts, without restarts."]


def ladder_lines(results: Results, table: pd.DataFrame) -> list[str]:
    """Mean number of designs that pass each stage at the last point."""
    last = table[table["point"] == results.note["points"][-1]]
    rows = []
    for method, part in _ranked(table, results.note["points"][-1], last):
        means = [part[stage].mean() if part[stage].notna().any() else float("nan") for stage in STAGES]
        rows.append([title_of(results, method), *(f"{m:.0f}" if np.isfinite(m) else "–" for m in means)])
    head = ["method", "handed in", "legal", "in window", "feasible", "at goal", "in domain", "confirmed", "true"]
    return markdown(head, rows)


def ablation_lines(results: Results, table: pd.DataFrame, word: str) -> list[str]:
    """The published Table 3: variants of our TD3 beside it."""
    kinds = results.note["methods"]
    variants = [m for m in dict.fromkeys(table["method"]) if kinds.get(m, {}).get("kind") == OURS]
    if OURS not in variants or len(variants) < 2:
        return []
    last = table[table["point"] == results.note["points"][-1]]
    base = over_problems(last[last["method"] == OURS], "hits")
    rows = []
    for method in variants:
        part = last[last["method"] == method]
        hits = over_problems(part, "hits")
        ratio = hits.mean / base.mean if base.mean else float("nan")
        rows.append([
            title_of(results, method), interval(hits, 0), share(ratio), _rate(part, "walks", "walks_at_goal"),
            amount(over_problems(part, f"systems_{word}")), amount(over_problems(part, "updates")), str(hits.n),
        ])  # fmt: skip
    head = ["variant of TD3", "hits", "of ours", "strict rate of walks", "systems", "updates", "runs"]
    return ["### Ablation at the last point", "", *markdown(head, rows), ""]


def bar_lines(results: Results) -> list[str]:
    """The two bars that the project set itself on the synthetic worlds."""
    hits, cost = hits_bar(results), cost_bar(results)
    if hits is None and cost is None:
        return []
    point, lines = results.note["points"][-1], ["## Two bars", ""]
    if hits is not None:
        times = f"{hits.ratio:.1f} times its number" if np.isfinite(hits.ratio) else "any number of times its number"
        lines.append(
            f"- True different designs at {point:,} predictions: {title_of(results, hits.method)} "
            f"{interval(hits.ours, 0)}, {title_of(results, hits.other)} {interval(hits.published, 0)}: {times}; "
            f"the bar is 3 times: {_met(hits.met, hits.published.n)}."
        )
    if cost is not None:
        runs = min(cost.ours.n, cost.theirs.n)
        lines.append(
            f"- Predictions per true design: {title_of(results, cost.method)} {interval(cost.ours, 1)} after training, "
            f"NSGA-II {interval(cost.theirs, 1)} at {point:,}, {cost.ratio:.1f} times as many; the bar is 10 times: "
            f"{_met(cost.met, runs)}. But a list holds at most {results.note['list_size']} designs: where NSGA-II is "
            f"cheapest, at {cost.cheapest_point:,} predictions, a true design costs it {interval(cost.cheapest, 1)}."
        )
    return [*lines, ""]


def starts_lines(results: Results) -> list[str]:
    """Success per start within budgets, policy beside searches, per task."""
    lines: list[str] = []
    for (name, task), part in results.starts.groupby(["method", "task"], sort=False):
        walked = part[part["walker"] != "ceiling"]
        budgets = sorted(int(budget) for budget in walked["within"].unique())
        rows = []
        for walker, own in walked.groupby("walker", sort=False):
            by_budget = own.groupby("within")["mean"]
            rates = [f"{by_budget.get_group(b).mean():.2f}" if b in by_budget.groups else "–" for b in budgets]
            rows.append([str(walker).replace("_", " "), *rates, str(own["seed"].nunique())])
        top = part[part["walker"] == "ceiling"]["mean"].mean()
        n = int(walked["n"].max())
        lines += [
            f"### {task} ({name}; {n} starts a seed; search ceiling {share(top)})", "",
            *markdown(["success within", *(f"{b:,}" for b in budgets), "seeds"], rows), "",
            *_starts_verdict(walked, n), "",
        ]  # fmt: skip
    return lines


def _starts_verdict(walked: pd.DataFrame, n: int) -> list[str]:
    """The policy alone against local search and archive walk at equal predictions, and local search at 16 times."""
    means = walked.groupby(["walker", "within"])["mean"].mean()
    step = 128
    if (POLICY, step) not in means:
        step = int(walked["within"].max())
    own, same = means.get((POLICY, step)), means.get(("local_search", step))
    archive, far = means.get(("archive_walk", step)), means.get(("local_search", 16 * step))
    if own is None or same is None:
        return []
    words = f"At {step} predictions the policy alone reaches {own:.2f}"
    for form, how in _UNAIDED.items():
        rate = means.get((form, step))
        words += "" if rate is None else f", {how} {rate:.2f}"
    words += f"; local search {same:.2f}"
    rejecting = means.get((REJECTING, step))
    words += "" if rejecting is None else f" (with the policy's moves {rejecting:.2f})"
    words += "" if archive is None else f", the archive walk {archive:.2f}"
    words += "." if far is None else f"; local search with 16 times as many {far:.2f}."
    width = 1.96 * (max(own * (1 - own), 1e-4) / (n * walked["seed"].nunique())) ** 0.5
    return [words + f" (± {width:.2f} at 95 %)"]


def _ranked(table: pd.DataFrame, point: int, of: pd.DataFrame | None = None) -> list[tuple[str, pd.DataFrame]]:
    """Methods with their rows, most hits at the last point first."""
    last = table[table["point"] == point]
    hits: dict[str, float] = {}
    for method in dict.fromkeys(table["method"]):
        mean = over_problems(last[last["method"] == method], "hits").mean
        hits[method] = mean if np.isfinite(mean) else -1.0
    source = table if of is None else of
    return [(m, source[source["method"] == m]) for m in sorted(hits, key=lambda m: -hits[m])]


def _first_hit(part: pd.DataFrame) -> str:
    firsts = []
    for _, run in part.groupby(["problem", "seed"]):
        hit = run[run["hits"] > 0]["point"]
        firsts.append(float(hit.min()) if len(hit) else float("inf"))
    median = float(np.median(firsts)) if firsts else float("inf")
    return f"{median:,.0f}" if np.isfinite(median) else "–"


def _rate(part: pd.DataFrame, of: str, name: str) -> str:
    whole = part[of].sum()
    if not whole or not part[name].notna().any():
        return "–"
    return share(float(part[name].sum() / whole))


def _range(least: int, most: int) -> str:
    return f"{most} seed{'s' if most > 1 else ''}" if least == most else f"{least} to {most} seeds"


def _met(met: bool, runs: int) -> str:
    """The verdict with what it rests on: the best configuration is picked on the same runs."""
    word = "met" if met else "missed"
    return f"{word} ({runs} run{'s' * (runs != 1)}, our best configuration picked on the same)"
