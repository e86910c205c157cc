"""Strict evaluation: a deterministic policy on fresh starts, without restarts, beside the controls of its price.

Every method walks from the same starts; every surrogate prediction is counted. Rates carry 95 % intervals.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from aimat_ray.data.composition import format_formula
from aimat_ray.env.walk import WalkState
from aimat_ray.rl.forms import FORMS, POLICY
from aimat_ray.rl.ledger import confirmed_by, pass_stages
from aimat_ray.rl.methods import (
    EVOLUTION,
    MethodResult,
    cached_ceiling,
    evolution_result,
    run_method,
    some_starts,
    standard_methods,
)
from aimat_ray.rl.policy import Policy
from aimat_ray.rl.prepare import Say, Workbench
from aimat_ray.rl.statistics import Rate
from aimat_ray.search.archive import Archive
from aimat_ray.search.archive_build import join
from aimat_ray.search.diversity import distinct_rows, families


def evaluate(
    bench: Workbench, policy: Policy | None, archive: Archive | None, say: Say, main: str = POLICY
) -> dict[str, MethodResult]:
    """Run the policy and its controls.

    Args:
        bench: What the run works with.
        policy: The trained policy, or None for a run without learning.
        archive: Goal alloys for the archive walk, or None.
        say: Told each rate.
        main: The method that the run is about; like a policy it settles on safe designs.
    """
    results = {}
    methods = standard_methods(policy, archive, bench.settings.evaluation.lookahead, bench.scorer is not None)
    for name in ([main] if main == EVOLUTION else []) + list(methods):
        if name == EVOLUTION:
            results[name] = evolution_result(bench)
        else:
            results[name] = run_method(bench, name, methods[name], name.startswith(POLICY) or name == main)
        rate = results[name].rate
        say(
            f"{name:>20}: strict goal rate {rate.mean:.2f} [{rate.lower:.2f}, {rate.upper:.2f}], "
            f"{results[name].predictions_per_episode:,.0f} predictions per episode"
        )
    return results


def ceiling_control(bench: Workbench, say: Say) -> dict[str, dict[str, Any]]:
    """The share of test starts for which a long evolutionary search finds a composition at the goal."""
    if bench.settings.env.mode == "paper":
        return {}
    found = cached_ceiling(bench, some_starts(bench))
    rate = Rate.of(int(found.goal.sum()), len(found.goal))
    say(f"{'ceiling':>20}: {rate.mean:.2f} [{rate.lower:.2f}, {rate.upper:.2f}] by evolutionary search")
    return {"ceiling": rate.as_dict() | {"predictions": float(found.predictions.mean()), "episodes": rate.n}}


def evaluation_document(bench: Workbench, results: dict[str, MethodResult], main: str) -> dict[str, Any]:
    """Everything that is said about a run's success, in the words of the output contract.

    Args:
        bench: What the run worked with.
        results: Results by method name.
        main: The method whose success the document is about: the policy, or a search used as a tool.
    """
    own = results[main]
    steps = sum(e.n_steps for e in own.episodes)
    legal = sum(e.n_legal for e in own.episodes)
    feasible = sum(e.n_feasible for e in own.episodes)
    met = np.sum([e.n_met for e in own.episodes], axis=0)
    goals = sum(int(e.goal.sum()) for e in own.episodes)
    confirmed = _confirmed(bench, [state for state in own.settled if state is not None])
    at_border = _confirmed(bench, [e.final.rows(e.goal) for e in own.episodes if e.goal.any()])
    document: dict[str, Any] = {
        "mode": bench.settings.env.mode,
        "method": main,
        "episodes": own.rate.n,
        "seeds": len(own.episodes),
        "starts": bench.settings.evaluation.starts,
        "sr_legal": legal / max(steps, 1),
        "sr_cls": feasible / max(legal, 1),
        "sr80": {k: float(m) / max(feasible, 1) for k, m in zip(bench.problem.quantity_keys, met, strict=True)},
        "sr_goal": walked(bench, own),
        "controls": {name: walked(bench, r) for name, r in results.items() if not name.startswith(POLICY)},
        "confirmed_share": confirmed / goals if goals else None,
        "confirmed": Rate.of(confirmed, goals).as_dict(),
        "confirmed_at_first_goal": Rate.of(at_border, goals).as_dict(),
        "settle_predictions": own.settle_predictions / goals if goals else None,
        "designs": distinct_designs(own),
        "ledger": ledger_of(bench, settled_ends(own)),
        "per_base": per_base(bench, results),
    }
    return document | {key: walked(bench, results[name]) for name, key in FORMS.items() if name in results}


def per_base(bench: Workbench, results: dict[str, MethodResult]) -> dict[str, dict[str, Any]]:
    """Strict rate of every method on each base, with the number of episodes behind it."""
    table: dict[str, dict[str, Any]] = {}
    for b, base in enumerate(bench.task.bases):
        table[base] = {}
        for name, result in results.items():
            goals = np.concatenate([e.goal[e.final.base == b] for e in result.episodes])
            table[base][name] = Rate.of(int(goals.sum()), len(goals)).as_dict()
    return table


def _confirmed(bench: Workbench, designs: list[WalkState]) -> int:
    """How many designs at the goal the judge confirms."""
    return sum(int(confirmed_by(bench.task, bench.judge, design).sum()) for design in designs)


def distinct_designs(result: MethodResult) -> dict[str, int]:
    """How many different designs a method's walks settled on: by 1 at%, and families of variants."""
    settled = [state.at_frac for state in result.settled if state is not None]
    if not settled:
        return {"settled": 0, "distinct": 0, "families": 0}
    at_frac = np.concatenate(settled)
    order = np.arange(len(at_frac))
    return {
        "settled": len(at_frac),
        "distinct": len(distinct_rows(at_frac, np.zeros(len(at_frac)))),
        "families": int(families(at_frac, order).max()) + 1,
    }


def walked(bench: Workbench, result: MethodResult) -> dict[str, Any]:
    """A method's rates, and the stages that its designs pass where its walks end: at the first goal, unsettled."""
    return result.as_dict() | {"ledger": ledger_of(bench, ends(result))}


def ends(result: MethodResult) -> list[WalkState]:
    """Where a method's walks ended: at their first composition at the goal, or without one."""
    return [episodes.final for episodes in result.episodes]


def settled_ends(result: MethodResult) -> list[WalkState]:
    """The same; successful walks count with what they settled on."""
    return [
        episodes.final if settled is None else episodes.final.updated(episodes.goal, settled)
        for episodes, settled in zip(result.episodes, result.settled, strict=True)
    ]


def ledger_of(bench: Workbench, designs: list[WalkState]) -> dict[str, int | None]:
    """How many designs pass each stage."""
    return pass_stages(bench, join(designs)).counts()


def goal_walks(
    results: dict[str, MethodResult], order: list[str], found: dict[str, WalkState] | None = None
) -> tuple[WalkState | None, list[str]]:
    """Every design at the goal, what walks settled on and where they first arrived, and which method found each."""
    named = list((found or {}).items())
    for name in (name for name in order if name in results):
        result = results[name]
        named += [(name, state) for state in result.settled if state is not None]
        named += [(name, e.final.rows(e.goal)) for e in result.episodes if e.goal.any()]
    named = [(name, state) for name, state in named if len(state)]
    methods = [name for name, state in named for _ in range(len(state))]
    return (join([state for _, state in named]) if named else None), methods


def episode_rows(bench: Workbench, results: dict[str, MethodResult]) -> list[dict[str, Any]]:
    """One row per episode and method, for `evaluation_episodes.parquet`."""
    rows = []
    for name, result in results.items():
        for seed, episodes in enumerate(result.episodes):
            quantities = bench.problem.with_derived(episodes.final.prediction.mean)
            for i in range(len(episodes)):
                rows.append(
                    {
                        "method": name,
                        "seed": seed,
                        "base": bench.task.bases[int(episodes.final.base[i])],
                        "goal": bool(episodes.goal[i]),
                        "steps": int(episodes.steps[i]),
                        "predictions": episodes.predictions / len(episodes),
                        "formula": format_formula(episodes.final.at_frac[i], bench.problem.elements),
                        **dict(zip(bench.problem.quantity_keys, quantities[i].tolist(), strict=True)),
                    }
                )
    return rows
