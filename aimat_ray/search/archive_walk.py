"""Using an archive: which alloy a walk should go to, the walk itself, and its steps as labels."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from aimat_ray.env.goals import GoalBatch, closeness
from aimat_ray.env.legality import MIN_ELEMENTS, BoolArray, FloatArray, check_legality
from aimat_ray.env.observation import Float32Array
from aimat_ray.env.safety import clipped_margin, doubt
from aimat_ray.env.task import DesignTask, pessimistic
from aimat_ray.env.walk import WalkState, limits_of
from aimat_ray.search.archive import Archive
from aimat_ray.search.evolution import fit_into
from aimat_ray.search.steering import label_towards, steer

Ranking = Literal["nearest", "robust"]

_CHANGE_TOLERANCE = 1e-9
_DISTANCE_WEIGHT = 0.1  # where no alloy meets the goal: closeness lost per fraction of atoms to exchange
_SAFEST_SHARE = 0.25  # of the alloys that meet a walk's goal, by robust margin
_FEWEST_TARGETS = 4


@dataclass(frozen=True)
class _Shelf:
    """What the archive holds for one base of the task, N alloys.

    Attributes:
        at_frac: Compositions inside the base's window, [N, E].
        quantities: Quantities as goals are judged on them, [N, Q].
        ends: Quantities at their pessimistic ends, [N, Q].
        doubt: What makes the predictions doubtful, [N].
        in_domain: Whether the surrogate may be believed, [N].
        own: False for alloys mapped from other bases: what is stored about them does not hold for them any more.
        same_elements: Whether only alloys of a walk's own elements can be walked to.
        offers: The last answer of `Targets._offers`, by goal.
    """

    at_frac: FloatArray
    quantities: FloatArray
    ends: FloatArray
    doubt: FloatArray
    in_domain: BoolArray
    own: bool
    same_elements: bool
    offers: dict[bytes, tuple[BoolArray, FloatArray]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.at_frac)

    def reachable(self, at_frac: FloatArray) -> BoolArray:
        """Which alloys walks can go to, [b, N]."""
        if not self.same_elements:
            return np.ones((len(at_frac), len(self)), dtype=bool)
        here, there = (at_frac > 0).astype(np.float64), (self.at_frac > 0).astype(np.float64)
        return (here @ (1 - there).T + (1 - here) @ there.T) == 0


class Targets:
    """Looks up where walks should go.

    Args:
        archive: Goal alloys.
        task: What is designed. Bases that the archive does not hold get the alloys of all others, mapped into the
            base's window: what memory can offer for a base that it has not seen.
        ranking: Among the alloys that meet a walk's goal: the nearest, or the nearest of those with the widest robust
            margins.
    """

    def __init__(self, archive: Archive, task: DesignTask, ranking: Ranking = "nearest") -> None:
        self.task = task
        self.ranking = ranking
        self._shelves = [self._shelf(archive, b) for b in range(len(task.bases))]

    def choose(self, state: WalkState) -> tuple[FloatArray, BoolArray]:
        """Targets of walks.

        Args:
            state: Where the walks stand.

        Returns:
            Targets, [B, E], the walk's own composition where there is none; and whether the archive says that the
            target meets the walk's own goal, [B].
        """
        places, n_known = self.ranked(state, 1)
        return places[:, 0], n_known > 0

    def ranked(self, state: WalkState, k: int) -> tuple[FloatArray, NDArray[np.intp]]:
        """The best targets of walks, the one to choose first.

        Args:
            state: Where the walks stand.
            k: Targets per walk.

        Returns:
            Targets, [B, k, E]; and how many of them, from the first, meet the walk's own goal by what the archive
            says, [B]. The first one is there where none does: what comes nearest, or the walk's own composition.
        """
        places = np.repeat(state.at_frac[:, None], k, axis=1)
        n_known = np.zeros(len(state), dtype=np.intp)
        order = np.argsort(state.base, kind="stable")
        for rows in np.split(order, np.flatnonzero(np.diff(state.base[order])) + 1):
            shelf = self._shelves[state.base[rows[0]]] if rows.size else None
            if shelf is not None and len(shelf):
                picks, n_met = self._ranked(shelf, state, rows, min(k, len(shelf)))
                chosen = np.where(picks[:, :, None] >= 0, shelf.at_frac[picks], state.at_frac[rows][:, None])
                places[rows, : picks.shape[1]] = chosen
                n_known[rows] = n_met if shelf.own else 0
        return places, n_known

    def _ranked(
        self, shelf: _Shelf, state: WalkState, rows: NDArray[np.intp], k: int
    ) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """For walks of one base: the alloys to go to, [b, k], -1 for none, and how many of them meet the goal, [b]."""
        at_frac, goals = state.at_frac[rows], state.goals.rows(rows)
        distance = 0.5 * cdist(at_frac, shelf.at_frac, "cityblock")
        change = np.zeros_like(distance)
        if np.isfinite(goals.max_change).any():
            change = 0.5 * cdist(state.start[rows], shelf.at_frac, "cityblock")
        meets, margin = self._offers(shelf, goals)
        reachable = shelf.reachable(at_frac)
        fits = meets & reachable & (change <= goals.max_change[:, None] + _CHANGE_TOLERANCE)
        far = distance
        if self.ranking == "robust":
            far = far + ~_safest(np.where(fits, margin, -np.inf))  # two compositions are never further apart than 1
        far = np.where(fits, far, np.inf)
        picks = far.argmin(axis=1)[:, None] if k == 1 else np.argsort(far, axis=1, kind="stable")[:, :k]
        n_met = np.minimum(fits.sum(axis=1), k)
        picks[np.arange(k) >= n_met[:, None]] = -1
        rest = np.flatnonzero((n_met == 0) & reachable.any(axis=1))
        if rest.size:
            near = _closeness_of_pairs(shelf, change[rest], goals.rows(rest)) - _DISTANCE_WEIGHT * distance[rest]
            picks[rest, 0] = np.where(reachable[rest], near, -np.inf).argmax(axis=1)
        return picks, n_met

    def _offers(self, shelf: _Shelf, goals: GoalBatch) -> tuple[BoolArray, FloatArray]:
        """Which alloys meet which goals, and by what margin, [b, N] each; [1, N] where all walks have one goal.

        Bases with one goal for all ask the same again and again, so their last answer is kept.
        """
        same = (goals.at_least == goals.at_least[0]).all() and (goals.at_most == goals.at_most[0]).all()
        if not same:
            return self._measure(shelf, goals)
        key = goals.at_least[0].tobytes() + goals.at_most[0].tobytes()
        if key not in shelf.offers:
            shelf.offers.clear()
            shelf.offers[key] = self._measure(shelf, goals.rows(np.arange(1)))
        return shelf.offers[key]

    def _measure(self, shelf: _Shelf, goals: GoalBatch) -> tuple[BoolArray, FloatArray]:
        at_least, at_most = goals.at_least[:, None], goals.at_most[:, None]
        values = shelf.quantities
        meets = ((values >= at_least) | ~np.isfinite(at_least)) & ((values <= at_most) | ~np.isfinite(at_most))
        met = np.asarray(meets.all(axis=2))
        if self.task.settings.reward.robust:
            met &= shelf.in_domain
        if self.ranking == "nearest":
            return met, np.zeros(1)
        alloys, walks = _all_pairs(len(shelf), goals)
        return met, clipped_margin(shelf.ends[alloys], goals.rows(walks)).reshape(met.shape) - shelf.doubt

    def _shelf(self, archive: Archive, b: int) -> _Shelf:
        mine = archive.base == self.task.bases[b]
        found = archive.rows(mine) if mine.any() else archive
        limits = limits_of(self.task, np.full(len(found), b, dtype=np.intp))
        at_frac = found.at_frac.copy()
        if self.task.settings.mode == "simplex":
            illegal = ~check_legality(at_frac, limits).legal
            at_frac[illegal] = fit_into(at_frac[illegal], limits.rows(illegal), otherwise=at_frac[illegal])
            legal = check_legality(at_frac, limits).legal
            found, at_frac = found.rows(legal), at_frac[legal]
        return _Shelf(
            at_frac=at_frac,
            quantities=self.task.judged(found.prediction),
            ends=pessimistic(self.task.problem, found.prediction),
            doubt=doubt(found.prediction),
            in_domain=found.prediction.in_domain,
            own=bool(mine.any()),
            same_elements=self.task.settings.mode == "paper" or self.task.windows.max_elements[b] <= MIN_ELEMENTS,
        )


def _safest(margin: FloatArray) -> BoolArray:
    """The best share of each row, [b, N], a few at least: several safe targets, so that not all walks end at one."""
    fitting = np.isfinite(margin).sum(axis=1)
    kept = np.maximum(np.ceil(_SAFEST_SHARE * fitting).astype(np.intp), np.minimum(_FEWEST_TARGETS, fitting))
    ordered = -np.sort(-margin, axis=1)
    lowest = ordered[np.arange(len(margin)), np.maximum(kept - 1, 0)]
    return np.asarray(np.isfinite(margin) & (margin >= lowest[:, None]))


def _all_pairs(n: int, goals: GoalBatch) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Positions of the alloy and of the goal of every pair, [b * N] each."""
    b = len(goals.max_change)
    return np.tile(np.arange(n), b), np.repeat(np.arange(b), n)


def _closeness_of_pairs(shelf: _Shelf, change: FloatArray, goals: GoalBatch) -> FloatArray:
    """Closeness of every alloy to every goal, [b, N]."""
    alloys, walks = _all_pairs(len(shelf), goals)
    return closeness(shelf.quantities[alloys], change.ravel(), goals.rows(walks)).reshape(change.shape)


class ChoosesTargets(Protocol):
    """Chooses alloys to walk to: `Targets`, or `clear_ways.ClearWays`."""

    @property
    def task(self) -> DesignTask:
        """What is designed."""

    def choose(self, state: WalkState) -> tuple[FloatArray, BoolArray]:
        """Targets, [B, E], and whether they are known to meet the walks' goals, [B]."""


@dataclass(frozen=True)
class ArchiveWalk:
    """Straight walk to an archived goal alloy; one prediction per step and no learning."""

    targets: ChoosesTargets

    @classmethod
    def of(cls, archive: Archive, task: DesignTask, ranking: Ranking = "nearest") -> ArchiveWalk:
        """The walk of an archive."""
        return cls(Targets(archive, task, ranking))

    def __call__(self, state: WalkState, rng: np.random.Generator) -> FloatArray:
        """Actions toward the targets; zeros where there is none."""
        target, _ = self.targets.choose(state)
        return steer(self.targets.task, state, target)


@dataclass(frozen=True)
class ArchiveLabeler:
    """What a step towards an archived alloy would change: labels for behaviour cloning."""

    targets: ChoosesTargets

    def __call__(self, state: WalkState) -> tuple[Float32Array, Float32Array]:
        """Wanted effects, [B, E] in units of the largest step, and weights, [B]: 1 where an alloy meets the goal."""
        task = self.targets.task
        target, known = self.targets.choose(state)
        return label_towards(task, state, target), known.astype(np.float32)
