"""Strict evaluation: a deterministic policy on fresh starts, without restarts, beside the controls of its price.

Every method walks from the same starts; every surrogate prediction is counted. Rates carry 95 % intervals.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from aimat_ray.data.composition import format_formula
from aimat_ray.env.episodes import Chooser, CountingPredictor, Episodes, run_episodes, settle
from aimat_ray.env.walk import WalkState, fresh_walks
from aimat_ray.registry.store import SurrogateStore
from aimat_ray.rl.ledger import confirmed_by, pass_stages
from aimat_ray.rl.policy import Policy, PolicyProposals
from aimat_ray.rl.prepare import Say, Workbench
from aimat_ray.rl.statistics import Rate
from aimat_ray.search.archive import Archive
from aimat_ray.search.archive_build import join
from aimat_ray.search.archive_walk import ArchiveWalk
from aimat_ray.search.ceiling import ceiling
from aimat_ray.search.controls import Greedy, LocalSearch, RandomAction, ZeroAction

_TEST_STREAM = 1_000  # seeds of test starts; training draws from other streams
RUN_TIME_NOISE = 0.2
POLICY, LOOKAHEAD, NOISY = "policy", "policy_lookahead", "policy_noise"

MakeChooser = Callable[[Workbench, CountingPredictor], Chooser]


@dataclass(frozen=True)
class MethodResult:
    """One method's episodes on all evaluation seeds.

    Attributes:
        name: Of the method.
        episodes: One batch per seed.
        settled: Per seed the designs that the successful walks settled on; None where there was no success.
        settle_predictions: What the settling cost, in all.
    """

    name: str
    episodes: tuple[Episodes, ...]
    settled: tuple[WalkState | None, ...]
    settle_predictions: int

    @property
    def rate(self) -> Rate:
        """Strict success rate."""
        return Rate.of(sum(int(e.goal.sum()) for e in self.episodes), sum(len(e) for e in self.episodes))

    @property
    def predictions_per_episode(self) -> float:
        """Mean number of surrogate predictions that an episode cost."""
        return sum(e.predictions for e in self.episodes) / max(sum(len(e) for e in self.episodes), 1)

    def as_dict(self) -> dict[str, Any]:
        """For the evaluation document."""
        successes = sum(int(e.goal.sum()) for e in self.episodes)
        total = sum(e.predictions for e in self.episodes)
        return self.rate.as_dict() | {
            "predictions": self.predictions_per_episode,
            "predictions_per_success": total / successes if successes else None,
            "episodes": self.rate.n,
        }


def standard_methods(policy: Policy | None, archive: Archive | None, lookahead: int) -> dict[str, MakeChooser]:
    """The policy in its three forms and its controls."""
    methods: dict[str, MakeChooser] = {}
    if policy is not None:
        noisy = Policy(policy.task, policy.actor, RUN_TIME_NOISE)
        proposals = PolicyProposals(policy)
        methods |= {
            POLICY: lambda bench, counter: policy,
            NOISY: lambda bench, counter: noisy,
            LOOKAHEAD: lambda bench, counter: Greedy(bench.task, counter, lookahead, proposer=proposals),
        }
    if archive is not None:
        methods["archive_walk"] = lambda bench, counter: ArchiveWalk.of(archive, bench.task)
    return methods | {
        "zero_action": lambda bench, counter: ZeroAction(bench.task),
        "random": lambda bench, counter: RandomAction(bench.task),
        "local_search": lambda bench, counter: LocalSearch(bench.task, counter),
        "greedy_16": lambda bench, counter: Greedy(bench.task, counter, 16),
    }


def run_method(bench: Workbench, name: str, make: MakeChooser) -> MethodResult:
    """Run one method from the test starts of every evaluation seed."""
    episodes, settled, cost = [], [], 0
    for stream, start in test_starts(bench):
        counter = CountingPredictor(bench.predictor)
        rng = np.random.default_rng([bench.settings.seed, stream, 1])
        choose = make(bench, counter)
        walked = run_episodes(bench.task, counter, start, choose, rng)
        episodes.append(walked)
        safe = None
        if name.startswith(POLICY) and walked.goal.any():
            counter = CountingPredictor(bench.predictor)
            choose, arrived = make(bench, counter), walked.final.rows(walked.goal)
            safe = settle(bench.task, counter, arrived, choose, rng, bench.settings.evaluation.settle_steps)
            cost += counter.n_predictions
        elif walked.goal.any():
            safe = walked.final.rows(walked.goal)
        settled.append(safe)
    return MethodResult(name, tuple(episodes), tuple(settled), cost)


def test_starts(bench: Workbench) -> Iterator[tuple[int, WalkState]]:
    """Fresh starts of every evaluation seed; the same for every method."""
    settings = bench.settings.evaluation
    for k in range(settings.seeds):
        stream = _TEST_STREAM + k
        rng = np.random.default_rng([bench.settings.seed, stream])
        base = np.arange(settings.episodes, dtype=np.intp) % len(bench.task.bases)
        yield stream, fresh_walks(bench.task, bench.predictor, base, rng)


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
    ledger = ledger_of(bench, own)
    goals = sum(int(e.goal.sum()) for e in own.episodes)
    confirmed = _confirmed(bench, [state for state in own.settled if state is not None])
    at_border = _confirmed(bench, [e.final.rows(e.goal) for e in own.episodes if e.goal.any()])
    document: dict[str, Any] = {
        "mode": bench.settings.env.mode,
        "method": main,
        "episodes": own.rate.n,
        "seeds": len(own.episodes),
        "sr_legal": legal / max(steps, 1),
        "sr_cls": feasible / max(legal, 1),
        "sr80": {k: float(m) / max(feasible, 1) for k, m in zip(bench.problem.quantity_keys, met, strict=True)},
        "sr_goal": own.as_dict(),
        "controls": {name: r.as_dict() for name, r in results.items() if not name.startswith(POLICY)},
        "confirmed_share": confirmed / goals if goals else None,
        "confirmed": Rate.of(confirmed, goals).as_dict(),
        "confirmed_at_first_goal": Rate.of(at_border, goals).as_dict(),
        "settle_predictions": own.settle_predictions / goals if goals else None,
        "ledger": ledger,
        "per_base": per_base(bench, results),
    }
    for name, key in ((LOOKAHEAD, "sr_goal_lookahead"), (NOISY, "sr_goal_noise")):
        if name in results:
            document[key] = results[name].as_dict()
    return document


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


def ledger_of(bench: Workbench, result: MethodResult) -> dict[str, int | None]:
    """Counts of the stages over all episodes of a method; successful walks count with what they settled on."""
    states = []
    for episodes, settled in zip(result.episodes, result.settled, strict=True):
        final = episodes.final
        states.append(final if settled is None else final.updated(episodes.goal, settled))
    return pass_stages(bench, join(states)).counts()


def goal_walks(results: dict[str, MethodResult], order: list[str]) -> tuple[WalkState | None, list[str]]:
    """Every design at the goal, what walks settled on and where they first arrived, and which method found each."""
    states, methods = [], []
    for name in (name for name in order if name in results):
        result = results[name]
        arrived = [e.final.rows(e.goal) for e in result.episodes if e.goal.any()]
        for state in [*(state for state in result.settled if state is not None), *arrived]:
            states.append(state)
            methods += [name] * len(state)
    return (join(states) if states else None), methods


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


def evaluate(bench: Workbench, policy: Policy | None, archive: Archive | None, say: Say) -> dict[str, MethodResult]:
    """Run the policy and its controls.

    Args:
        bench: What the run works with.
        policy: The trained policy, or None for a run without learning.
        archive: Goal alloys for the archive walk, or None.
        say: Told each rate.
    """
    results = {}
    for name, make in standard_methods(policy, archive, bench.settings.evaluation.lookahead).items():
        results[name] = run_method(bench, name, make)
        rate = results[name].rate
        say(
            f"{name:>17}: strict goal rate {rate.mean:.2f} [{rate.lower:.2f}, {rate.upper:.2f}], "
            f"{results[name].predictions_per_episode:,.0f} predictions per episode"
        )
    return results


def ceiling_control(bench: Workbench, say: Say) -> dict[str, dict[str, Any]]:
    """The share of test starts for which a long evolutionary search finds a composition at the goal."""
    if bench.settings.env.mode == "paper":
        return {}
    _, start = next(test_starts(bench))
    some = start.rows(np.arange(min(bench.settings.evaluation.ceiling_episodes, len(start))))
    found = ceiling(bench.task, bench.predictor, some, cache=SurrogateStore().root / "ceilings")
    rate = Rate.of(int(found.goal.sum()), len(found.goal))
    say(f"{'ceiling':>17}: {rate.mean:.2f} [{rate.lower:.2f}, {rate.upper:.2f}] by evolutionary search")
    return {"ceiling": rate.as_dict() | {"predictions": float(found.predictions.mean()), "episodes": rate.n}}
