"""The refinement loop as a pure state machine: events in, instructions out.

    idle --Triggered--> proposing --Proposed--> retraining --Retrained--> verdict
      verdict accepted  --> publishing --Published--> idle
      verdict refused   --> proposing again, at most `max_attempts` times, then idle (abandoned)

Nothing here waits, computes or touches a disk. Whoever performs the instructions reports back with an event. Every
instruction may be performed again after a crash without harm, so a state that was read back from the log goes on with
`pending(state)`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from aimat_ray.config import RefineSettings
from aimat_ray.refine.records import Comparison, Proposal, Record, Trigger, Verdict
from aimat_ray.refine.triggers import key_of
from aimat_ray.refine.verdict import judge

Phase = Literal["idle", "proposing", "retraining", "publishing"]
MAX_PUBLISH_TRIES = 3


# ---------------------------------------------------------------- events
class Triggered(Record):
    """A trigger fired."""

    type: Literal["triggered"] = "triggered"
    trigger: Trigger


class Proposed(Record):
    """The adviser answered."""

    type: Literal["proposed"] = "proposed"
    refinement: int
    attempt: int
    proposal: Proposal


class AdviceFailed(Record):
    """The adviser has nothing (more) to propose, or could not be asked.

    Attributes:
        final: Asking again is of no use.
    """

    type: Literal["advice_failed"] = "advice_failed"
    refinement: int
    attempt: int
    reason: str
    final: bool = True


class Retrained(Record):
    """A retrained surrogate lies in the store, unpublished, with its comparison."""

    type: Literal["retrained"] = "retrained"
    refinement: int
    attempt: int
    comparison: Comparison
    seconds: float = 0.0


class RetrainFailed(Record):
    """Retraining ended in an error."""

    type: Literal["retrain_failed"] = "retrain_failed"
    refinement: int
    attempt: int
    reason: str


class Published(Record):
    """The hub made the version current."""

    type: Literal["published"] = "published"
    refinement: int
    version: str


class PublishFailed(Record):
    """The hub could not make the version current; the one before stays."""

    type: Literal["publish_failed"] = "publish_failed"
    refinement: int
    reason: str


class Interrupted(Record):
    """The run ended, or was continued from a checkpoint before this refinement; what is under way is given up."""

    type: Literal["interrupted"] = "interrupted"
    reason: str


Event = Triggered | Proposed | AdviceFailed | Retrained | RetrainFailed | Published | PublishFailed | Interrupted
_EVENT: TypeAdapter[Event] = TypeAdapter(Annotated[Event, Field(discriminator="type")])


def parse_event(document: Any) -> Event:
    """An event from its JSON document."""
    return _EVENT.validate_python(document)


# ---------------------------------------------------------------- instructions
class Propose(Record):
    """Ask the adviser for descriptors that were not tried yet."""

    type: Literal["propose"] = "propose"
    refinement: int
    attempt: int
    trigger: Trigger
    tried: tuple[tuple[str, ...], ...] = ()


class Retrain(Record):
    """Retrain with the proposal, store the result without publishing it, and compare."""

    type: Literal["retrain"] = "retrain"
    refinement: int
    attempt: int
    trigger: Trigger
    proposal: Proposal


class Publish(Record):
    """Make a version current, unless it already is."""

    type: Literal["publish"] = "publish"
    refinement: int
    version: str
    note: str


class Decided(Record):
    """Nothing to do but to tell: the verdict on a retrained surrogate."""

    type: Literal["decided"] = "decided"
    refinement: int
    attempt: int
    verdict: Verdict


class Abandoned(Record):
    """Nothing to do but to tell: a refinement ended without a new version."""

    type: Literal["abandoned"] = "abandoned"
    refinement: int
    reason: str


class Ignored(Record):
    """Nothing to do but to tell: an event that does not fit the state, such as a second answer after a crash."""

    type: Literal["ignored"] = "ignored"
    reason: str


Instruction = Propose | Retrain | Publish | Decided | Abandoned | Ignored


# ---------------------------------------------------------------- state
@dataclass(frozen=True)
class State:
    """Where the loop stands.

    Attributes:
        phase: What is awaited.
        refinement: Number of the refinement under way, or of the last one; from 1.
        attempt: Number of its attempt, from 1.
        trigger: What started it.
        proposal: What is being retrained or published.
        candidate: Version that waits for publication.
        tried: Proposals so far.
        publish_tries: Failed publications of the candidate.
        last_fired: Env steps of the last firing, by `triggers.key_of`.
        versions: Versions published so far.
    """

    phase: Phase = "idle"
    refinement: int = 0
    attempt: int = 0
    trigger: Trigger | None = None
    proposal: Proposal | None = None
    candidate: str = ""
    tried: tuple[tuple[str, ...], ...] = ()
    publish_tries: int = 0
    last_fired: dict[str, int] = field(default_factory=dict)
    versions: tuple[str, ...] = ()


Step = tuple[State, tuple[Instruction, ...]]


def advance(state: State, event: Event, settings: RefineSettings) -> Step:
    """Take in one event.

    Args:
        state: Where the loop stands. Not modified.
        event: What happened.
        settings: Attempts and limits of the verdict.

    Returns:
        The new state, and what to do now.
    """
    match event:
        case Triggered(trigger=trigger) if state.phase == "idle":
            return _start(state, trigger)
        case Proposed() if _awaited(state, "proposing", event.refinement, event.attempt):
            return _retrain(state, event.proposal)
        case AdviceFailed() if _awaited(state, "proposing", event.refinement, event.attempt):
            if event.final:
                return _abandon(state, event.reason)
            return _next_attempt(state, event.reason, settings)
        case RetrainFailed() if _awaited(state, "retraining", event.refinement, event.attempt):
            return _next_attempt(state, event.reason, settings)
        case Retrained() if _awaited(state, "retraining", event.refinement, event.attempt):
            return _decide(state, event.comparison, settings)
        case Published() if state.phase == "publishing" and event.version == state.candidate:
            return _done(replace(state, versions=(*state.versions, event.version))), ()
        case PublishFailed() if state.phase == "publishing" and event.refinement == state.refinement:
            return _publish_again(state, event.reason)
        case Interrupted() if state.phase != "idle":
            return _abandon(state, event.reason)
        case _:
            return state, (Ignored(reason=f"{event.type} while {state.phase}"),)


def pending(state: State) -> tuple[Instruction, ...]:
    """What has to be done (again) to get on from a state, after a crash."""
    if state.trigger is None:
        return ()
    if state.phase == "proposing":
        return (_ask(state),)
    if state.phase == "retraining" and state.proposal is not None:
        return (_train(state, state.proposal),)
    if state.phase == "publishing":
        return (_publish(state),)
    return ()


def _awaited(state: State, phase: Phase, refinement: int, attempt: int) -> bool:
    return (state.phase, state.refinement, state.attempt) == (phase, refinement, attempt)


def _start(state: State, trigger: Trigger) -> Step:
    fired = state.last_fired | {key_of(trigger.kind, trigger.property_key): trigger.env_steps}
    started = State(
        phase="proposing", refinement=state.refinement + 1, attempt=1, trigger=trigger, last_fired=fired,
        versions=state.versions,
    )  # fmt: skip
    return started, (_ask(started),)


def _retrain(state: State, proposal: Proposal) -> Step:
    tried = (*state.tried, proposal.descriptors)
    after = replace(state, phase="retraining", proposal=proposal, tried=tried)
    return after, (_train(after, proposal),)


def _decide(state: State, comparison: Comparison, settings: RefineSettings) -> Step:
    verdict = judge(comparison, settings.verdict, settings.max_attempts)
    decided = Decided(refinement=state.refinement, attempt=state.attempt, verdict=verdict)
    if verdict.accepted:
        after = replace(state, phase="publishing", candidate=comparison.version, publish_tries=0)
        return after, (decided, _publish(after))
    failed = [name for name, held in verdict.checks.items() if not held]
    after, instructions = _next_attempt(state, f"refused: {', '.join(failed)}", settings)
    return after, (decided, *instructions)


def _next_attempt(state: State, reason: str, settings: RefineSettings) -> Step:
    if state.attempt >= settings.max_attempts:
        return _abandon(state, f"{reason}; attempt {state.attempt} of {settings.max_attempts}")
    after = replace(state, phase="proposing", attempt=state.attempt + 1, proposal=None)
    return after, (_ask(after),)


def _publish_again(state: State, reason: str) -> Step:
    tries = state.publish_tries + 1
    if tries >= MAX_PUBLISH_TRIES:
        return _abandon(state, f"accepted, but could not be published: {reason}")
    after = replace(state, publish_tries=tries)
    return after, (_publish(after),)


def _abandon(state: State, reason: str) -> Step:
    return _done(state), (Abandoned(refinement=state.refinement, reason=reason),)


def _done(state: State) -> State:
    return State(refinement=state.refinement, last_fired=state.last_fired, versions=state.versions)


def _ask(state: State) -> Propose:
    assert state.trigger is not None
    return Propose(refinement=state.refinement, attempt=state.attempt, trigger=state.trigger, tried=state.tried)


def _train(state: State, proposal: Proposal) -> Retrain:
    assert state.trigger is not None
    return Retrain(refinement=state.refinement, attempt=state.attempt, trigger=state.trigger, proposal=proposal)


def _publish(state: State) -> Publish:
    assert state.trigger is not None and state.proposal is not None
    note = (
        f"refinement {state.refinement}, attempt {state.attempt}: {state.trigger.kind} of "
        f"{state.trigger.property_key} at {state.trigger.env_steps:,} env steps; "
        f"with {', '.join(state.proposal.descriptors)}"
    )
    return Publish(refinement=state.refinement, version=state.candidate, note=note)
