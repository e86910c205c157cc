"""The refinement loop without Ray, network or models; a crash at any point resumes or abandons cleanly."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_verdict import GOOD

from aimat_ray.config import RefineSettings
from aimat_ray.errors import RunError
from aimat_ray.refine import state as s
from aimat_ray.refine.audit import AuditLog, read, recover
from aimat_ray.refine.records import Proposal, Trigger
from aimat_ray.refine.replay import replay
from aimat_ray.refine.state import State, advance, pending

SETTINGS = RefineSettings(adviser="statistical")
TRIGGER = Trigger(kind="variance", property_key="tg_k", env_steps=4_000, value=5.0, threshold=3.0, version="v0")
BAD = GOOD.model_copy(update={"gain": 0.0, "version": "default-a"})


def proposal(*names):
    return Proposal(descriptors=names, reason="residuals follow it", adviser="statistical")


def proposed(attempt, *names, refinement=1):
    return s.Proposed(refinement=refinement, attempt=attempt, proposal=proposal(*names))


def retrained(attempt, comparison, refinement=1):
    return s.Retrained(refinement=refinement, attempt=attempt, comparison=comparison)


TRIGGERED = s.Triggered(trigger=TRIGGER)
ACCEPTED = [TRIGGERED, proposed(1, "h_mix"), retrained(1, GOOD), s.Published(refinement=1, version=GOOD.version)]
SECOND_TRY = [
    TRIGGERED, proposed(1, "h_mix"), retrained(1, BAD), proposed(2, "omega"), retrained(2, GOOD),
    s.Published(refinement=1, version=GOOD.version),
]  # fmt: skip
REFUSED = [
    TRIGGERED, proposed(1, "h_mix"), retrained(1, BAD), proposed(2, "omega"), retrained(2, BAD),
    proposed(3, "s_mix", "omega"), s.RetrainFailed(refinement=1, attempt=3, reason="out of memory"),
]  # fmt: skip
STORIES = {"accepted": ACCEPTED, "second try": SECOND_TRY, "refused": REFUSED}


def run(events, state=None):
    state, told = state or State(), []
    for event in events:
        state, instructions = advance(state, event, SETTINGS)
        told.append([i.type for i in instructions])
    return state, told


def test_an_accepted_refinement():
    state, told = run(ACCEPTED)
    assert told == [["propose"], ["retrain"], ["decided", "publish"], []]
    assert (state.phase, state.versions) == ("idle", (GOOD.version,))
    assert state.last_fired == {"variance/tg_k": 4_000}


def test_a_refused_proposal_is_followed_by_another_that_knows_what_was_tried():
    state, _ = run(SECOND_TRY[:3])
    assert (state.phase, state.attempt, state.tried) == ("proposing", 2, (("h_mix",),))
    (ask,) = pending(state)
    assert ask.tried == (("h_mix",),)


def test_three_attempts_then_abandoned():
    state, told = run(REFUSED)
    assert told[-1] == ["abandoned"]
    assert (state.phase, state.versions) == ("idle", ())


def test_an_adviser_without_an_answer_ends_the_refinement():
    state, told = run([TRIGGERED, s.AdviceFailed(refinement=1, attempt=1, reason="the service is down")])
    assert told[-1] == ["abandoned"] and state.phase == "idle"


def test_an_answer_that_can_be_asked_for_again_costs_an_attempt():
    failed = [s.AdviceFailed(refinement=1, attempt=n, reason="unknown descriptor", final=False) for n in (1, 2, 3)]
    _, told = run([TRIGGERED, *failed])
    assert told == [["propose"], ["propose"], ["propose"], ["abandoned"]]


def test_one_refinement_at_a_time():
    state, told = run([TRIGGERED, TRIGGERED])
    assert told[-1] == ["ignored"] and state.refinement == 1


def test_late_answers_of_an_earlier_attempt_change_nothing():
    state, _ = run(SECOND_TRY[:4])
    for late in (proposed(1, "x"), retrained(1, GOOD), s.Published(refinement=1, version="default-zzz")):
        after, instructions = advance(state, late, SETTINGS)
        assert after == state and [i.type for i in instructions] == ["ignored"]


def test_a_failed_publication_is_tried_again_and_then_given_up():
    failed = s.PublishFailed(refinement=1, reason="no space left on device")
    state, told = run([*ACCEPTED[:3], failed, failed, failed])
    assert told[-3:] == [["publish"], ["publish"], ["abandoned"]]
    assert (state.phase, state.versions) == ("idle", ())


def test_the_end_of_the_run_gives_up_what_is_under_way():
    state, told = run([*ACCEPTED[:2], s.Interrupted(reason="training ended")])
    assert told[-1] == ["abandoned"] and state.phase == "idle"
    assert run([s.Interrupted(reason="training ended")])[1] == [["ignored"]]


# ---------------------------------------------------------------- log, crash, replay


def written(path, events):
    log, state = AuditLog(path, clock=lambda: "2026-01-01T00:00:00"), State()
    for event in events:
        state, instructions = advance(state, event, SETTINGS)
        log.append(event, state, instructions)
    return state


@pytest.mark.parametrize("story", STORIES)
def test_a_crash_after_any_line_goes_on_where_it_stopped(tmp_path, story):
    events = STORIES[story]
    uninterrupted, _ = run(events)
    for n in range(len(events)):
        path = tmp_path / f"{n}.jsonl"
        before = written(path, events[:n])
        with path.open("a") as file:  # the crash came while the next line was being written
            file.write('{"seq": 99, "at"')
        log = AuditLog(path)
        state = recover(read(path), SETTINGS)
        assert state == before
        _, last = advance(run(events[: n - 1])[0], events[n - 1], SETTINGS) if n else (None, ())
        assert pending(state) == tuple(i for i in last if i.type in ("propose", "retrain", "publish"))
        for event in events[n:]:
            state, instructions = advance(state, event, SETTINGS)
            log.append(event, state, instructions)
        assert state == uninterrupted == recover(read(path), SETTINGS)


def test_performing_a_publication_twice_publishes_one_version():
    state, _ = run(ACCEPTED[:3])
    state, _ = run([ACCEPTED[3], ACCEPTED[3]], state)
    assert state.versions == (GOOD.version,)


@given(st.lists(st.sampled_from([e for story in STORIES.values() for e in story]), max_size=30))
def test_any_order_of_events_keeps_the_invariants(events):
    state = State()
    for event in events:
        before = state
        state, instructions = advance(state, event, SETTINGS)
        kinds = [i.type for i in instructions]
        assert state.attempt <= SETTINGS.max_attempts
        assert state.refinement - before.refinement in (0, 1)
        assert ("publish" in kinds) <= (state.phase == "publishing" and bool(state.candidate))
        assert len(state.versions) - len(before.versions) == (
            before.phase == "publishing" and event.type == "published"
        )
        assert (state.phase == "idle") == (pending(state) == ())


def test_replay_finds_the_same_decisions(tmp_path):
    written(tmp_path / "refinement.jsonl", SECOND_TRY)
    replayed = replay(tmp_path, SETTINGS)
    assert all(step.same for step in replayed)
    assert [step.summary.split()[0] for step in replayed] == [
        "variance", "statistical", "retrained", "statistical", "retrained", "published",
    ]  # fmt: skip
    assert "refused: not error falls" in replayed[2].decisions[0]


def test_replay_with_other_limits_shows_what_would_have_changed(tmp_path):
    written(tmp_path / "refinement.jsonl", ACCEPTED)
    strict = SETTINGS.model_copy(update={"verdict": SETTINGS.verdict.model_copy(update={"min_gain": 0.9})})
    replayed = replay(tmp_path, strict)
    assert [step.same for step in replayed] == [True, True, False, False]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no refinement log"),
        ("not json\n", "line 1: not a line"),
        (json.dumps({"seq": 2, "at": "", "event": {}, "phase": "idle"}) + "\n", "lines were removed"),
    ],
)
def test_a_damaged_log_is_refused(tmp_path, text, message):
    (tmp_path / "refinement.jsonl").write_text(text)
    with pytest.raises(RunError, match=message):
        replay(tmp_path, SETTINGS)
