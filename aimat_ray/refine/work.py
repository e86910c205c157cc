"""The long parts of a refinement: asking the adviser, and retraining. Plain functions; Ray runs them as tasks.

Each takes an instruction of the state machine and answers with an event. Expected failures are events too, so that
only a killed process ends without one.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from aimat_ray.config import LlmSettings, RefineSettings
from aimat_ray.data.composition import parse_formula
from aimat_ray.data.sources import AlloyData
from aimat_ray.descriptors import DESCRIPTOR_CATALOGUE, Descriptors
from aimat_ray.errors import AimatError
from aimat_ray.problem import DesignProblem
from aimat_ray.refine.advisers import AdviceError, Adviser, NoAdviser, Question
from aimat_ray.refine.records import Change, Comparison, Trigger
from aimat_ray.refine.state import AdviceFailed, Event, Propose, Proposed, Retrain, Retrained, RetrainFailed
from aimat_ray.registry.store import SurrogateStore
from aimat_ray.surrogate.bundle import SurrogateBundle
from aimat_ray.surrogate.refined import base_of, picks_of
from aimat_ray.surrogate.refitting import PropertyRows, property_rows, refit_property


@dataclass(frozen=True, eq=False)
class Work:
    """What the long parts need; sent to whatever machine runs them.

    Attributes:
        data: The alloys behind the surrogate.
        problem: The design problem.
        settings: Adviser, attempts and limits.
        llm: For the adviser that asks a language model.
        llm_folder: Where its answers and its bill are kept.
        store: Folder of the surrogate store.
        bundle: Name of the bundle.
        seed: Of folds and fits.
    """

    data: AlloyData
    problem: DesignProblem
    settings: RefineSettings
    llm: LlmSettings
    llm_folder: Path
    store: Path
    bundle: str
    seed: int = 0

    def load(self, version: str) -> SurrogateBundle:
        """A version of the bundle."""
        return SurrogateStore(self.store).get(version, self.bundle)


def propose(work: Work, order: Propose) -> Event:
    """Ask the adviser."""
    try:
        proposal = make_adviser(work).propose(question(work, order))
    except AdviceError as error:
        return AdviceFailed(refinement=order.refinement, attempt=order.attempt, reason=error.message, final=error.final)
    except AimatError as error:
        return AdviceFailed(refinement=order.refinement, attempt=order.attempt, reason=error.message)
    return Proposed(refinement=order.refinement, attempt=order.attempt, proposal=proposal)


def retrain(work: Work, order: Retrain) -> Event:
    """Retrain with the proposal, store the result and compare it with the version in use."""
    began = time.monotonic()
    try:
        comparison = compare(work, order.trigger, order.proposal.descriptors)
    except (AimatError, OSError, MemoryError) as error:
        reason = getattr(error, "message", None) or f"{type(error).__name__}: {error}"
        return RetrainFailed(refinement=order.refinement, attempt=order.attempt, reason=reason)
    seconds = time.monotonic() - began
    return Retrained(refinement=order.refinement, attempt=order.attempt, comparison=comparison, seconds=seconds)


def make_adviser(work: Work) -> Adviser:
    """The adviser that the settings name."""
    if work.settings.adviser == "statistical":
        from aimat_ray.refine.advisers.statistical import StatisticalAdviser

        return StatisticalAdviser()
    if work.settings.adviser == "llm":
        from aimat_ray.refine.advisers.language import LanguageAdviser
        from aimat_ray.refine.llm import LlmClient

        return LanguageAdviser(LlmClient(work.llm, work.llm_folder))
    return NoAdviser()


def question(work: Work, order: Propose) -> Question:
    """What the adviser is shown. The closed list: every descriptor that the property was not refined with yet."""
    trigger = order.trigger
    bundle, prepared = _prepared(work, trigger)
    ensemble, p = bundle._parts.ensemble, prepared.target
    refined = picks_of(ensemble).get(p, ())
    candidates = tuple(name for name in DESCRIPTOR_CATALOGUE if name not in refined)
    spec = work.problem.properties[p]
    return Question(
        trigger=trigger,
        label=f"{spec.label} ({spec.key}, {spec.unit})",
        candidates=candidates,
        in_use=(*base_of(ensemble).space.names, *refined),
        tried=order.tried,
        values=Descriptors(work.problem.elements, candidates).transform(np.array(work.data.regression.at_frac)),
        residual=prepared.rows.values[:, p] - prepared.in_use.mean,
        fold=prepared.folds.regression,
        system=prepared.rows.system,
        most=work.settings.max_descriptors,
        seed=work.seed,
    )


def compare(work: Work, trigger: Trigger, descriptors: tuple[str, ...]) -> Comparison:
    """Retrain a property; the retrained bundle is stored, not published.

    Raises:
        AimatError: It can't be retrained or stored.
    """
    bundle, prepared = _prepared(work, trigger)
    region = np.array([parse_formula(text, work.problem.elements) for text in trigger.seen.compositions])
    refit = refit_property(bundle, work.problem, prepared, descriptors, region, work.seed)
    version = SurrogateStore(work.store).put(refit.bundle)
    p = prepared.target
    return Comparison(
        version=version,
        property_key=trigger.property_key,
        n=refit.n,
        n_systems=refit.n_systems,
        rmse=Change(before=refit.rmse_before, after=refit.rmse_after),
        gain=refit.gain,
        p_value=refit.p_value,
        variance=Change(before=refit.variance_before, after=refit.variance_after),
        coverage=refit.coverage,
        others=_others(work, bundle, refit.bundle, p),
    )


def _others(work: Work, before: SurrogateBundle, after: SurrogateBundle, p: int) -> dict[str, Change]:
    """Errors on the measured rows of every other property, and of every quantity derived from several."""
    table, problem = work.data.regression, work.problem
    measured = problem.with_derived(np.array(table.values))
    predicted = [problem.with_derived(bundle.predict(np.array(table.at_frac)).mean) for bundle in (before, after)]
    changes = {}
    for q, key in enumerate(problem.quantity_keys):
        known = np.isfinite(measured[:, q])
        if q == p or not known.any():
            continue
        errors = [float(np.sqrt(np.mean((values[known, q] - measured[known, q]) ** 2))) for values in predicted]
        changes[key] = Change(before=errors[0], after=errors[1])
    return changes


def _prepared(work: Work, trigger: Trigger) -> tuple[SurrogateBundle, PropertyRows]:
    """The version in use and the rows of the property; kept, because several attempts need the same."""
    key = (str(work.store), trigger.version, trigger.property_key, work.data.checksum, work.seed)
    if key not in _kept:
        bundle = work.load(trigger.version)
        prepared = property_rows(bundle, work.data, work.problem, trigger.property_key, work.seed)
        _kept.clear()
        _kept[key] = bundle, prepared
    return _kept[key]


_kept: dict[tuple[str, str, str, str, int], tuple[SurrogateBundle, PropertyRows]] = {}
