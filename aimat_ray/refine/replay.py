"""Decide again what a run decided, from its audit log alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from aimat_ray.config import RefineSettings
from aimat_ray.errors import RunError
from aimat_ray.refine.audit import FILE_NAME, Entry, read
from aimat_ray.refine.state import State, advance, parse_event


@dataclass(frozen=True)
class Replayed:
    """One event, decided again.

    Attributes:
        entry: The line of the log.
        summary: The event in words.
        decisions: What follows from it now, in words.
        same: Whether that is what the log says.
    """

    entry: Entry
    summary: str
    decisions: tuple[str, ...]
    same: bool


def replay(run_dir: Path, settings: RefineSettings) -> list[Replayed]:
    """Run the events of a log through the state machine.

    Args:
        run_dir: Folder of the run.
        settings: Attempts and limits; the run's own, or others to see what they would have changed.

    Raises:
        RunError: The run has no log, or it is damaged.
    """
    path = run_dir / FILE_NAME
    entries = read(path)
    if not entries:
        raise RunError(
            f"{run_dir} holds no refinement log ({FILE_NAME}); was it run with --amr, and did a trigger fire?"
        )
    state, replayed = State(), []
    for entry in entries:
        state, instructions = advance(state, parse_event(entry.event), settings)
        documents = tuple(instruction.model_dump(mode="json") for instruction in instructions)
        same = documents == entry.instructions and state.phase == entry.phase
        words = tuple(describe(document) for document in documents)
        replayed.append(Replayed(entry, describe(entry.event), words, same))
    return replayed


def describe(document: dict[str, object]) -> str:
    """An event or instruction in a few words, from its JSON document."""
    d: dict[str, object] = document
    trigger, proposal, verdict = (_part(d, name) for name in ("trigger", "proposal", "verdict"))
    match d.get("type"):
        case "triggered":
            return (
                f"{trigger['kind']} trigger: {trigger['property_key']} at {trigger['env_steps']} env steps, "
                f"{_number(trigger['value'])} against {_number(trigger['threshold'])}"
            )
        case "propose":
            return f"ask for descriptors (attempt {d['attempt']})"
        case "proposed":
            return f"{proposal['adviser']} proposes {_names(proposal)}: {proposal['reason']}"
        case "retrain":
            return f"retrain with {_names(proposal)}"
        case "retrained":
            c = _part(d, "comparison")
            return (
                f"retrained {c['version']}: squared error of {c['property_key']} changes by "
                f"{-float(str(c['gain'])):+.1%} (p = {_number(c['p_value'])}, {c['n']} rows, {c['n_systems']} systems)"
            )
        case "decided":
            return f"{'accepted' if verdict['accepted'] else 'refused'}: {_failed(verdict)}"
        case "publish":
            return f"publish {d['version']}"
        case "published":
            return f"published {d['version']}"
        case kind:
            return f"{str(kind).replace('_', ' ')}: {d.get('reason', '')}"


def _part(document: dict[str, object], name: str) -> dict[str, object]:
    part = document.get(name)
    return part if isinstance(part, dict) else {}


def _names(proposal: dict[str, object]) -> str:
    names = proposal["descriptors"]
    return ", ".join(map(str, names)) if isinstance(names, list | tuple) else str(names)


def _failed(verdict: dict[str, object]) -> str:
    checks = verdict["checks"]
    assert isinstance(checks, dict)
    failed = [str(name).replace("_", " ") for name, held in checks.items() if not held]
    return f"not {', not '.join(failed)}" if failed else "every condition holds"


def _number(value: object) -> str:
    return f"{float(str(value)):.3g}"
