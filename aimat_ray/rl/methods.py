"""The methods of an evaluation: the policy in its forms, its controls, and how each is run from the test starts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from aimat_ray.env.episodes import Chooser, CountingPredictor, Episodes, beyond_80, run_episodes, settle
from aimat_ray.env.task import DesignTask
from aimat_ray.env.walk import WalkState, fresh_walks, judge
from aimat_ray.prediction import Predictor
from aimat_ray.registry.store import SurrogateStore
from aimat_ray.rl.forms import CLIMBING, LOOKAHEAD, NOISY, POLICY, POLICY_BY_NET, REJECTING
from aimat_ray.rl.policy import Policy, PolicyMoves, PolicyProposals
from aimat_ray.rl.prepare import Workbench
from aimat_ray.rl.statistics import Rate
from aimat_ray.search.archive import Archive
from aimat_ray.search.archive_walk import ArchiveWalk
from aimat_ray.search.ceiling import Ceiling, ceiling
from aimat_ray.search.controls import Greedy, LocalSearch, Proposer, RandomAction, ZeroAction
from aimat_ray.search.foresight import Foresight, Picked
from aimat_ray.search.leading import Halved, Restless
from aimat_ray.search.proposals import propose

_TEST_STREAM = 1_000  # seeds of test starts; training draws from other streams
RUN_TIME_NOISE = 0.6
_UNPICKED_NOISE, _UNPICKED_RANDOM_SHARE = 1.0, 0.75  # of moves that a policy leads alone, and that can be taken back
EVOLUTION, NET_SCORED, NET_CLIMBING = "evolution", "net_scored_16", "net_local_search"
_TUNING_STREAM = 2_000

MakeChooser = Callable[[Workbench, CountingPredictor, CountingPredictor | None], Chooser]
"""Workbench, the counter that episodes run on, and a counter of the distilled surrogate where there is one."""


@dataclass(frozen=True)
class MethodResult:
    """One method's episodes on all evaluation seeds.

    Attributes:
        name: Of the method.
        episodes: One batch per seed.
        settled: Per seed the designs that the successful walks settled on; None where there was no success.
        settle_predictions: What the settling cost, in all.
        scores: Answers of the distilled surrogate that the episodes took; they are no predictions.
    """

    name: str
    episodes: tuple[Episodes, ...]
    settled: tuple[WalkState | None, ...]
    settle_predictions: int
    scores: int = 0

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
        document = self.rate.as_dict() | {
            "predictions": self.predictions_per_episode,
            "predictions_per_success": total / successes if successes else None,
            "episodes": self.rate.n,
        }
        return document | ({"distilled_scores": self.scores / max(self.rate.n, 1)} if self.scores else {})


def standard_methods(
    policy: Policy | None, archive: Archive | None, lookahead: int, distilled: bool = False
) -> dict[str, MakeChooser]:
    """The policy in its forms and its controls.

    Args:
        policy: The trained policy, if any.
        archive: Goal alloys, if any.
        lookahead: Candidates of the policy with lookahead.
        distilled: Whether there is a distilled surrogate to score moves.
    """
    methods: dict[str, MakeChooser] = {}
    if policy is not None:
        noisy = Policy(policy.task, policy.actor, RUN_TIME_NOISE)
        proposals = PolicyProposals(policy)
        methods |= {
            POLICY: lambda bench, counter, net: policy,
            NOISY: lambda bench, counter, net: noisy,
            REJECTING: lambda bench, counter, net: LocalSearch(bench.task, counter, proposer=led_moves(policy, None)),
            LOOKAHEAD: lambda bench, counter, net: Greedy(bench.task, counter, lookahead, proposer=proposals),
        }
        if distilled:
            methods[CLIMBING] = lambda bench, counter, net: LocalSearch(
                bench.task, counter, proposer=led_moves(policy, net)
            )
            led = Halved(proposals)
            methods[POLICY_BY_NET] = lambda bench, counter, net: _foresight(bench.task, net, led, lookahead)
    if archive is not None:
        methods["archive_walk"] = lambda bench, counter, net: ArchiveWalk.of(archive, bench.task)
    if distilled:
        methods[NET_SCORED] = lambda bench, counter, net: _foresight(bench.task, net, propose, 16)
        methods[NET_CLIMBING] = lambda bench, counter, net: LocalSearch(
            bench.task, counter, proposer=led_moves(None, net)
        )
    return methods | {
        "zero_action": lambda bench, counter, net: ZeroAction(bench.task),
        "random": lambda bench, counter, net: RandomAction(bench.task),
        "local_search": lambda bench, counter, net: LocalSearch(bench.task, counter),
        "greedy_16": lambda bench, counter, net: Greedy(bench.task, counter, 16),
    }


def _foresight(task: DesignTask, net: Predictor | None, proposer: Proposer, k: int) -> Foresight:
    assert net is not None  # only asked for where there is one
    return Foresight(task, net, proposer, k)


def led_moves(policy: Policy | None, net: Predictor | None) -> Proposer:
    """Moves for a local search, led by a policy, by a distilled surrogate, or by both.

    Args:
        policy: Where moves come from; None: they are random.
        net: Picks among 16 of them; None: there is nothing to pick by.
    """
    leader: Proposer = propose
    if policy is not None:
        leader = PolicyMoves(policy, _UNPICKED_NOISE if net is None else RUN_TIME_NOISE)
    return Restless(leader, _UNPICKED_RANDOM_SHARE) if net is None else Restless(Picked(net, leader))


def run_method(bench: Workbench, name: str, make: MakeChooser, settles: bool = False) -> MethodResult:
    """Run one method from the test starts of every evaluation seed.

    Args:
        bench: What the run works with.
        name: Of the method.
        make: Builds its chooser.
        settles: Whether successful walks go on to a safer design.
    """
    episodes, settled, cost, scores = [], [], 0, 0
    for stream, start in test_starts(bench):
        counter, net = CountingPredictor(bench.predictor), distilled_counter(bench)
        rng = np.random.default_rng([bench.settings.seed, stream, 1])
        choose = make(bench, counter, net)
        walked = run_episodes(bench.task, counter, start, choose, rng)
        episodes.append(walked)
        scores += net.n_predictions if net is not None else 0
        safe = None
        if settles and walked.goal.any():
            counter = CountingPredictor(bench.predictor)
            choose, arrived = make(bench, counter, net), walked.final.rows(walked.goal)
            safe = settle(bench.task, counter, arrived, choose, rng, bench.settings.evaluation.settle_steps)
            cost += counter.n_predictions
        elif walked.goal.any():
            safe = walked.final.rows(walked.goal)
        settled.append(safe)
    return MethodResult(name, tuple(episodes), tuple(settled), cost, scores)


def distilled_counter(bench: Workbench) -> CountingPredictor | None:
    """The run's distilled surrogate, counting; None where there is none."""
    return None if bench.scorer is None else CountingPredictor(bench.scorer)


def test_starts(bench: Workbench) -> Iterator[tuple[int, WalkState]]:
    """Fresh starts of every evaluation seed; the same for every method.

    Settings are chosen on starts of another stream (`evaluation.starts: tuning`), so that these stay unseen.
    """
    settings = bench.settings.evaluation
    for k in range(settings.seeds):
        stream = (_TUNING_STREAM if settings.starts == "tuning" else _TEST_STREAM) + k
        rng = np.random.default_rng([bench.settings.seed, stream])
        base = np.arange(settings.episodes, dtype=np.intp) % len(bench.task.bases)
        yield stream, fresh_walks(bench.task, bench.predictor, base, rng)


def some_starts(bench: Workbench) -> WalkState:
    """The first test starts, as many as the ceiling is searched for."""
    _, start = next(test_starts(bench))
    return start.rows(np.arange(min(bench.settings.evaluation.ceiling_episodes, len(start))))


def cached_ceiling(bench: Workbench, start: WalkState) -> Ceiling:
    """What a long evolutionary search finds for some starts."""
    return ceiling(bench.task, bench.predictor, start, cache=SurrogateStore().root / "ceilings")


def evolution_result(bench: Workbench) -> MethodResult:
    """Evolutionary search from the first test starts as a method: where it ends is its best composition."""
    start = some_starts(bench)
    found = cached_ceiling(bench, start)
    away = np.ceil(np.abs(found.at_frac - start.at_frac).max(axis=1) / bench.task.max_step - 1e-9).astype(np.intp)
    final = replace(start, at_frac=found.at_frac, step=away, prediction=bench.predictor.predict(found.at_frac))
    verdict = judge(bench.task, final)
    met = beyond_80(bench.task, final)[verdict.feasible].sum(axis=0)
    counts = len(final), int(verdict.legal.sum()), int(verdict.feasible.sum())
    spent = found.predictions.astype(np.float64)
    episodes = Episodes(verdict.goal, away, final, int(spent.sum()), spent, *counts, met)
    settled = final.rows(verdict.goal) if verdict.goal.any() else None
    return MethodResult(EVOLUTION, (episodes,), (settled,), 0)
