"""What a sweep amounts to: its runs by base, and rates averaged over bases, drawn from the folders of the runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from aimat_ray.errors import RunError
from aimat_ray.problem import DesignProblem
from aimat_ray.report.candidates import Candidate
from aimat_ray.report.facts import SUBJECT, Facts, Method, Rate, gather
from aimat_ray.report.markup import clean
from aimat_ray.report.run_files import Document, RunFiles, dig, listed, number, read_run
from aimat_ray.rl.forms import FORMS
from aimat_ray.rl.statistics import Rate as Share
from aimat_ray.sweep.results import SweepResults
from aimat_ray.sweep.storage import RUNS

TUNING_RATE = "tuning_goal_rate"
AGREED = Method("The judge agrees", "other", "of all designs that the surrogate sees at the goal, in or out of domain")
CONFIRMED = Method("Confirmed designs", "other", "at the goal, in domain, and the judge agrees; of all fresh starts")


@dataclass(frozen=True)
class SweepRun:
    """A run of a sweep that has begun.

    Attributes:
        name: Of its folder.
        seed: Of the run.
        variant: Name of its variant; empty where the sweep has none.
        facts: The whole run.
        by_base: The run as seen from each of its bases: goal, candidates and rates of that base alone.
    """

    name: str
    seed: int
    variant: str
    facts: Facts
    by_base: dict[str, Facts]

    @property
    def finished(self) -> bool:
        """Whether it got as far as its evaluation."""
        return bool(self.facts.files.evaluation)

    @property
    def env_steps(self) -> float:
        """Environment steps so far."""
        return _last(self.facts.files, "env_steps")

    @property
    def planned_steps(self) -> float:
        """Environment steps in all."""
        return number(dig(self.facts.files.run, "settings", "steps"))

    @property
    def train_seconds(self) -> float:
        """Seconds of training so far."""
        found = number(dig(self.facts.files.evaluation, "train", "seconds"))
        return found if math.isfinite(found) else _last(self.facts.files, "seconds")

    @property
    def tuning_rate(self) -> float:
        """Last strict rate on tuning starts; NaN where the run was not measured."""
        return _last(self.facts.files, TUNING_RATE)


@dataclass(frozen=True)
class SweepFacts:
    """Everything that the sections of a sweep's report draw on.

    Attributes:
        results: The sweep as tables.
        problem: What was designed.
        runs: Runs that have begun, in the order of the plan.
        missing: Names of runs that have not begun, or whose folder can't be read, with the reason.
    """

    results: SweepResults
    problem: DesignProblem
    runs: tuple[SweepRun, ...]
    missing: dict[str, str]

    @property
    def document(self) -> Document:
        """The content of sweep.json."""
        return self.results.document

    @property
    def space(self) -> dict[str, Any]:
        """Hyperparameters that are searched over, by dotted key."""
        found = dig(self.document, "settings", "search", "space")
        return found if isinstance(found, dict) else {}

    @property
    def no_goal(self) -> dict[str, str]:
        """Bases without evidence, with the reason."""
        return {clean(base): clean(reason) for base, reason in (self.document.get("no_goal") or {}).items()}

    @property
    def variants(self) -> list[str]:
        """Names of the variants, in the order of the plan."""
        return list(dict.fromkeys(str(case.get("variant") or "") for case in listed(self.document.get("cases"))))

    @property
    def bases(self) -> list[str]:
        """Bases of the plan that have a goal."""
        names = (str(case.get("base", "")).split(",") for case in listed(self.document.get("cases")))
        return list(dict.fromkeys(clean(base) for group in names for base in group if base))

    @property
    def n_planned(self) -> int:
        """Runs of the plan."""
        if self.space:
            planned = number(dig(self.document, "settings", "search", "samples"))
            return int(planned) if math.isfinite(planned) else len(self.runs)
        return len(listed(self.document.get("cases")))

    @property
    def finished(self) -> list[SweepRun]:
        """Runs that ended."""
        return [run for run in self.runs if run.finished]

    @property
    def synthetic(self) -> bool | None:
        """Whether the alloys are synthetic."""
        return next((run.facts.synthetic for run in self.runs if run.facts.synthetic is not None), None)

    @property
    def main_runs(self) -> list[SweepRun]:
        """Runs that the figures per base are about: of the first variant; of a search, the best sample."""
        if self.space:
            ranked = sorted(self.finished, key=lambda run: -_rank(run.tuning_rate))
            return ranked[:1]
        return [run for run in self.runs if run.variant == self.variants[0]]

    def of_base(self, base: str) -> list[Facts]:
        """What the main runs found for a base."""
        return [run.by_base[base] for run in self.main_runs if base in run.by_base]


def gather_sweep(results: SweepResults, problem: DesignProblem) -> SweepFacts:
    """Facts of a sweep from the folders of its runs, complete or not."""
    cases = {str(case["name"]): case for case in results.document["cases"]}
    begun = {str(row["run"]): row for row in results.runs.to_dict("records")}
    names = [name for name in cases if name in begun] + [name for name in begun if name not in cases]
    runs, missing = [], {name: "not begun" for name in cases if name not in begun}
    for name in names:
        row = begun[name]
        try:
            files = read_run(results.folder / RUNS / name)
        except RunError as error:
            missing[name] = error.message
            continue
        by_base = {base: gather(part, problem) for base, part in _by_base(files).items()}
        runs.append(SweepRun(name, int(row["seed"]), str(row["variant"]), gather(files, problem), by_base))
    if dig(results.document, "settings", "search", "space"):
        missing = {}  # the samples of a search are named when they begin
    return SweepFacts(results, problem, tuple(runs), missing)


def _by_base(files: RunFiles) -> dict[str, RunFiles]:
    """The files of a run as seen from each of its bases."""
    goals = dig(files.run, "goal", "per_base")
    if not isinstance(goals, dict):
        return {clean(files.run.get("base") or "?"): files}
    return {clean(base): _of_base(files, str(base), goal) for base, goal in goals.items()}


def _of_base(files: RunFiles, base: str, goal: Any) -> RunFiles:
    rates = dig(files.evaluation, "evaluation", "per_base", base)
    evaluation: Document = {}
    if isinstance(rates, dict):
        shown = {
            "sr_goal": _with_episodes(rates.get(SUBJECT)),
            **{key: _with_episodes(rates.get(form)) for form, key in FORMS.items()},
            "controls": {key: _with_episodes(rate) for key, rate in rates.items() if not str(key).startswith(SUBJECT)},
        }
        evaluation = {**files.evaluation, "base": base, "evaluation": shown}
    own = None if files.candidates is None else tuple(row for row in files.candidates if row.get("base") == base)
    run = {**files.run, "base": base, "goal": goal}
    episodes = files.episodes
    if episodes is not None and "base" in episodes:
        episodes = episodes[episodes["base"] == base]
    return replace(files, run=run, evaluation=evaluation, candidates=own, episodes=episodes)


def _with_episodes(rate: Any) -> Any:
    return {**rate, "episodes": rate.get("n")} if isinstance(rate, dict) else rate


def average(rates: Sequence[Rate]) -> Rate:
    """Mean of independent rates, each with the same weight.

    The interval recovers the variance of each rate from its own interval and adds them up. It says how well the mean
    over exactly these bases is known, not how other bases would do.
    """
    n = len(rates)
    mean = sum(rate.mean for rate in rates) / n
    below = math.sqrt(sum((rate.mean - rate.lower) ** 2 for rate in rates)) / n
    above = math.sqrt(sum((rate.upper - rate.mean) ** 2 for rate in rates)) / n
    predictions = sum(rate.predictions for rate in rates) / n
    lower, upper = max(0.0, mean - below), min(1.0, mean + above)
    return Rate(rates[0].key, rates[0].method, mean, lower, upper, predictions, sum(rate.episodes for rate in rates))


def over_bases(by_base: Mapping[str, Sequence[Facts]], pick: Callable[[Facts], Rate | None]) -> tuple[Rate | None, int]:
    """A rate averaged over the runs of each base and then over the bases that have it, and how many these are."""
    means = []
    for runs in by_base.values():
        rates = [rate for facts in runs if (rate := pick(facts)) is not None and math.isfinite(rate.mean)]
        if rates:
            means.append(average(rates))
    return (average(means) if means else None), len(means)


def confirmed_rate(facts: Facts) -> Rate | None:
    """Share of fresh starts that end in a confirmed design; None where the ledger does not say."""
    n = facts.subject.episodes if facts.subject is not None else math.nan
    confirmed = facts.ledger.get("confirmed", math.nan)
    if not (n > 0 and math.isfinite(confirmed)):
        return None
    share = Share.of(int(confirmed), int(n))
    predictions = facts.subject.predictions if facts.subject else math.nan
    return Rate("confirmed", CONFIRMED, share.mean, share.lower, share.upper, predictions, n)


def agreed_share(facts: Iterable[Facts]) -> Rate | None:
    """Share of all designs at the goal with which the judge agrees; None without any design at the goal."""
    goals = agreed = 0
    for item in facts:
        entry = dig(item.evaluation, "confirmed")
        n, mean = number(dig(entry, "n")), number(dig(entry, "mean"))
        if n > 0 and math.isfinite(mean):
            goals, agreed = goals + int(n), agreed + round(n * mean)
    if not goals:
        return None
    share = Share.of(agreed, goals)
    method = Method(
        "The judge agrees", "other", "of all designs that the surrogate sees at the goal, in or out of domain"
    )
    return Rate("agreed", method, share.mean, share.lower, share.upper, math.nan, goals)


def ranked_candidates(runs: Iterable[SweepRun]) -> list[tuple[SweepRun, Facts, Candidate]]:
    """Candidates of several runs, confirmed ones first and then by margin; an alloy that several found stands once."""
    found = [(run, facts, item) for run in runs for facts in run.by_base.values() for item in facts.candidates]
    found.sort(key=lambda entry: (not entry[2].confirmed, -_rank(entry[2].margin)))
    return list({entry[2].formula: entry for entry in reversed(found)}.values())[::-1]


def _rank(value: float) -> float:
    return value if math.isfinite(value) else -math.inf


def _last(files: RunFiles, column: str) -> float:
    frame = files.metrics
    if frame is None or column not in frame or frame[column].dropna().empty:
        return math.nan
    return float(frame[column].dropna().iloc[-1])
