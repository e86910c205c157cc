"""What a run amounts to: goal, success rates and the comparison with the controls, drawn from its files."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

from aimat_ray.problem import DesignProblem
from aimat_ray.report.candidates import Candidate, parse_candidates
from aimat_ray.report.markup import clean
from aimat_ray.report.run_files import Document, RunFiles, dig, flag, listed, number
from aimat_ray.report.wording import Spec, spec_of
from aimat_ray.rl.forms import CLIMBING, FORMS, LOOKAHEAD, NOISY, POLICY, POLICY_BY_NET, REJECTING

Price = Literal["one", "sixteen", "search", "other"]
Outcome = Literal["above", "below", "level"]

PRICES: dict[Price, str] = {
    "one": "About one surrogate prediction per step",
    "sixteen": "Sixteen predictions per step",
    "search": "Search without a limit on predictions",
    "other": "Other methods",
}


@dataclass(frozen=True)
class Method:
    """How a method is named in the report, and the price class that it is compared in."""

    label: str
    price: Price
    note: str = ""


LONGEST_BASE = 12  # an element symbol; whatever else a file says there must not fill the page
SUBJECT = POLICY
METHODS: dict[str, Method] = {
    SUBJECT: Method("Trained policy", "one", "deterministic"),
    NOISY: Method("Policy with run-time noise", "one"),
    REJECTING: Method("Policy with rejection", "one", "a local search whose moves are the policy’s, without a net"),
    CLIMBING: Method(
        "Local search led by policy and net", "one", "moves are picked by a distilled net, half of them the policy’s"
    ),
    LOOKAHEAD: Method("Policy with lookahead", "sixteen", "the best of 16 moves around the policy’s own"),
    "archive_walk": Method(
        "Archive walk", "one", "to the nearest goal alloy that a search found beforehand; that search is not counted"
    ),
    "local_search": Method("Local search", "one", "keeps a random move when it helps"),
    "random": Method("Random moves", "one"),
    "zero_action": Method("No move at all", "one", "the fresh start as it is"),
    POLICY_BY_NET: Method(
        "Policy with distilled lookahead", "one", "the best safe move of 16 by a distilled net, half of them its own"
    ),
    "net_scored_16": Method("Best of 16, distilled surrogate", "one", "the same without a policy: 16 random moves"),
    "net_local_search": Method(
        "Local search, distilled surrogate", "one", "the same without a policy: the best of 16 random moves by a net"
    ),
    "greedy_4": Method("Greedy search, 4 moves a step", "other"),
    "greedy_64": Method("Greedy search, 64 moves a step", "other"),
    "local_search_long": Method("Local search, 512 steps", "other"),
    "policy_lookahead_4": Method("Policy with lookahead, 4 moves", "other"),
    "policy_lookahead_64": Method("Policy with lookahead, 64 moves", "other"),
    "greedy_16": Method("Greedy search", "sixteen", "tries 16 moves a step and takes the best"),
    "ceiling": Method(
        "Evolutionary search (ceiling)", "search", "the most that a long search reaches on this surrogate"
    ),
}
SEARCHES: dict[str, Method] = {
    "archive": Method("Archive walk", "one", "the method of this run"),
    "greedy": Method("Greedy search", "sixteen", "the method of this run"),
    "evolution": Method("Evolutionary search", "search", "the method of this run"),
    "local": Method("Local search", "one", "the method of this run"),
}


@dataclass(frozen=True)
class Rate:
    """Strict success rate of a method. NaN where not known.

    Attributes:
        key: Name of the method in evaluation.json.
        method: How it is shown.
        mean: Share of episodes that reach the goal.
        lower: Lower end of the 95 % interval.
        upper: Upper end of the 95 % interval.
        predictions: Surrogate predictions spent per episode.
        episodes: Number of episodes.
    """

    key: str
    method: Method
    mean: float
    lower: float
    upper: float
    predictions: float
    episodes: float

    @property
    def per_success(self) -> float:
        """Predictions spent per success; NaN without any."""
        return self.predictions / self.mean if self.mean > 0 else math.nan


@dataclass(frozen=True)
class Threshold:
    """One objective of the goal; a bound is NaN where there is none."""

    quantity: str
    spec: Spec | None
    at_least: float
    at_most: float
    n_rows: float
    source: str

    @property
    def pooled_group(self) -> str:
        """Name of the chemical group whose rows were pooled, or ""."""
        return self.source.partition(":")[2].replace("_", " ") if self.source.startswith("group") else ""


@dataclass(frozen=True)
class Facts:
    """Everything that the sections of the report draw on."""

    files: RunFiles
    problem: DesignProblem
    base: str
    synthetic: bool | None
    goal_name: str
    goal_title: str
    thresholds: tuple[Threshold, ...]
    candidates: list[Candidate]
    subject: Rate | None
    rates: tuple[Rate, ...]
    ledger: dict[str, float]

    @property
    def evaluation(self) -> Document:
        """The part `evaluation` of evaluation.json."""
        found = dig(self.files.evaluation, "evaluation")
        return found if isinstance(found, dict) else {}

    @property
    def confirmed(self) -> list[Candidate]:
        """Candidates that count as confirmed."""
        return [candidate for candidate in self.candidates if candidate.confirmed]

    @property
    def goal_keys(self) -> list[str]:
        """Quantities of the goal that the problem knows, in order."""
        return [item.quantity for item in self.thresholds if item.spec is not None]

    @property
    def short_title(self) -> str:
        """Title of the goal without what stands in brackets."""
        return self.goal_title.partition(" (")[0]

    @property
    def is_policy(self) -> bool:
        """Whether the run trained a policy (rather than ran a search)."""
        return self.subject is None or self.subject.method is METHODS[SUBJECT]

    @property
    def finders(self) -> dict[str, int]:
        """How many candidates each method found, by its label; empty where the file does not say."""
        found: dict[str, int] = {}
        for candidate in self.candidates:
            if candidate.method:
                label = method_label(candidate.method)
                found[label] = found.get(label, 0) + 1
        return dict(sorted(found.items(), key=lambda item: -item[1]))

    def rate(self, key: str) -> Rate | None:
        """The rate of a method, or None."""
        return next((rate for rate in self.rates if rate.key == key), None)

    def best_control(self, price: Price) -> Rate | None:
        """The most successful control of a price class."""
        others = [rate for rate in self.rates if rate.key not in (SUBJECT, *FORMS) and rate.method.price == price]
        return max((rate for rate in others if math.isfinite(rate.mean)), key=lambda rate: rate.mean, default=None)


def gather(files: RunFiles, problem: DesignProblem) -> Facts:
    """Facts of a run from its files."""
    run, document = files.run, files.evaluation
    goal = _first_goal(run, document)
    subject = _subject(files)
    candidates = parse_candidates(files.candidates, problem)
    synthetic = flag(dig(run, "data", "synthetic"))
    if synthetic is None:
        synthetic = flag(dig(document, "data", "synthetic"))
    if synthetic is None and candidates:
        synthetic = candidates[0].synthetic
    base = (
        run.get("base") or document.get("base") or (candidates[0].formula[:2].strip("0123456789") if candidates else "")
    )
    return Facts(
        files=files,
        problem=problem,
        base=clean(base)[:LONGEST_BASE],
        synthetic=synthetic,
        goal_name=str(goal.get("name") or ""),
        goal_title=str(goal.get("title") or ""),
        thresholds=_thresholds(goal, problem),
        candidates=candidates,
        subject=subject,
        rates=tuple(rate for rate in (subject, *_others(files)) if rate is not None),
        ledger=_ledger(document),
    )


def method_label(key: str) -> str:
    """How a method is named in the report."""
    return METHODS[key].label if key in METHODS else key.replace("_", " ")


def compare(a: Rate, b: Rate) -> Outcome:
    """Whether a's rate lies above or below b's with separated 95 % intervals; "level" where they overlap."""
    if a.lower > b.upper:
        return "above"
    return "below" if a.upper < b.lower else "level"


def _first_goal(run: Document, document: Document) -> Document:
    for found in (run.get("goal"), dig(document, "evaluation", "goal")):
        if isinstance(found, dict) and found:
            return found
    return {}


def _thresholds(goal: Document, problem: DesignProblem) -> tuple[Threshold, ...]:
    """Objectives; `thresholds` is a list of objects, or a mapping from quantity to its bound."""
    found = goal.get("thresholds")
    entries: list[Any] = listed(found)
    if isinstance(found, dict):
        entries = [
            {"quantity": key} | (value if isinstance(value, dict) else _bound(str(key), value, problem))
            for key, value in found.items()
        ]
    return tuple(
        Threshold(
            quantity=str(entry.get("quantity", "")),
            spec=spec_of(problem, str(entry.get("quantity", ""))),
            at_least=number(entry.get("at_least")),
            at_most=number(entry.get("at_most")),
            n_rows=number(entry.get("n_rows", dig(goal, "n_rows", str(entry.get("quantity", ""))))),
            source=str(entry.get("source") or ""),
        )
        for entry in entries
        if isinstance(entry, dict)
    )


def _bound(key: str, value: Any, problem: DesignProblem) -> Document:
    spec = spec_of(problem, key)
    return {"at_most" if spec is not None and spec.direction == "minimize" else "at_least": value}


def _subject(files: RunFiles) -> Rate | None:
    """The rate of what the run made: a policy, or a search method."""
    evaluation = dig(files.evaluation, "evaluation")
    entry = dig(evaluation, "sr_goal")
    if not isinstance(entry, dict) or math.isnan(number(entry.get("mean"))):
        return None
    method = str(dig(evaluation, "method") or dig(files.run, "settings", "method") or SUBJECT)
    shown = next((shown for name, shown in SEARCHES.items() if method.startswith(name)), METHODS[SUBJECT])
    rate = _rate(SUBJECT, shown, entry)
    predictions = _known(
        rate.predictions, number(dig(evaluation, "predictions")), _from_episodes(files, SUBJECT, method)
    )
    episodes = _known(rate.episodes, number(dig(evaluation, "episodes")))
    return Rate(SUBJECT, shown, rate.mean, rate.lower, rate.upper, predictions, episodes)


def _others(files: RunFiles) -> list[Rate]:
    evaluation = dig(files.evaluation, "evaluation")
    rates = []
    for name, key in FORMS.items():
        rates.append(_rate(name, METHODS[name], dig(evaluation, key)))
    controls = dig(evaluation, "controls")
    for key, entry in controls.items() if isinstance(controls, dict) else ():
        if key == dig(evaluation, "method"):  # a search used as the method of the run is not its own control
            continue
        method = METHODS.get(str(key), Method(method_label(str(key)), "other"))
        rates.append(_rate(str(key), method, entry))
    filled = [
        rate
        if math.isfinite(rate.predictions)
        else Rate(
            rate.key, rate.method, rate.mean, rate.lower, rate.upper, _from_episodes(files, rate.key), rate.episodes
        )
        for rate in rates
    ]
    return [rate for rate in filled if math.isfinite(rate.mean)]


def _rate(key: str, method: Method, entry: Any) -> Rate:
    """One entry of evaluation.json: an object, or only the mean."""
    if not isinstance(entry, dict):
        entry = {"mean": entry}
    names = ("mean", "lower", "upper", "predictions", "episodes")
    return Rate(key, method, *(number(entry.get(name)) for name in names))


def _known(*values: float) -> float:
    return next((value for value in values if math.isfinite(value)), math.nan)


def _from_episodes(files: RunFiles, *methods: str) -> float:
    """Mean predictions per episode of a method, from the table of episodes."""
    frame = files.episodes
    if frame is None or not {"method", "predictions"} <= set(frame.columns):
        return math.nan
    spent = frame.loc[frame["method"].isin(methods), "predictions"]
    return number(spent.mean()) if len(spent) else math.nan


def _ledger(document: Document) -> dict[str, float]:
    found = dig(document, "evaluation", "ledger")
    if not isinstance(found, dict):
        return {}
    return {str(key): value for key, value in ((k, number(v)) for k, v in found.items()) if math.isfinite(value)}
