"""What an action does, as a differentiable function: the torch twin of env/transition.py.

A critic that sees the effect of an action instead of its raw numbers need not learn which numbers have no effect (most
of them, after masking and projection). The actor's gradient flows through the effect.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from aimat_ray.env.legality import MIN_ELEMENTS, MIN_FRACTION
from aimat_ray.env.observation import CHANGE_LEFT_SCALE, DISPLACEMENT_SCALE
from aimat_ray.env.transition import ENTER_ABOVE
from aimat_ray.errors import ConfigError

_MAX_ITERATIONS = 60
_TOLERANCE = 1e-13
_NOTHING = 1e-6  # of a fraction that single precision may leave where nothing is
_CHANGE_TOLERANCE = 1e-7
_BISECTIONS = 24
_LEFT_TOP = 1.0  # the observation says no more than that at least this much change is left
_PRESENT = 4.0  # rank key of present elements: above every wish, which lies in (0.5, 1]


class EffectModel(nn.Module):
    """Interface: the effect of an action, and its distance to a wanted one."""

    def forward(self, obs: Tensor, action: Tensor) -> Tensor:
        """Effect of `action` [B, A] in `obs` [B, O], [B, A]."""
        raise NotImplementedError

    def label_error(self, obs: Tensor, action: Tensor, effect: Tensor, label: Tensor) -> Tensor:
        """How far an action's effect is from a wanted one, with a gradient that leads there.

        Args:
            obs: Observations, [B, O].
            action: Actions, [B, A].
            effect: Their effects, [B, A].
            label: Wanted effects, [B, A].

        Returns:
            Signed differences, [B, A].
        """
        return effect - label


class IdentityEffect(EffectModel):
    """The critic sees the action as it is."""

    def forward(self, obs: Tensor, action: Tensor) -> Tensor:
        """The action itself."""
        return action


class ProjectedEffect(EffectModel):
    """Composition change of a `simplex` move, in units of the largest step.

    Observations start with the E atomic fractions, followed by the one-hot base (W windows). The projection is solved
    in float64 on the few elements that can be non-zero; its gradient is exact and closed: free elements share a change
    equally, elements capped by the base move with it.

    Args:
        lower: Smallest fractions of each window, [W, E].
        upper: Largest fractions of each window, [W, E].
        base: Position of the base element of each window, [W].
        max_elements: Largest number of elements of each window, [W].
        max_step: Largest change of one fraction in one step, 0..1.
        base_from: Where the base is read: in the `one_hot` block, or, for observations without one, from the `largest`
            fraction. With one window it is not read at all.
        reach: Where the observation tells how far a walk may still go: first column of the displacement since the start
            and column of the change that is left, as env.observation scales them. None: the change is never limited.
    """

    lower: Tensor
    upper: Tensor
    base: Tensor
    max_elements: Tensor
    admitted: Tensor
    tie_break: Tensor

    def __init__(
        self,
        lower: Any,
        upper: Any,
        base: Any,
        max_elements: Any,
        max_step: float = 0.05,
        base_from: Literal["one_hot", "largest"] = "one_hot",
        reach: tuple[int, int] | None = None,
    ) -> None:
        super().__init__()
        self.base_from = base_from
        self.reach = reach
        self.n_windows, self.n_elements = np.shape(lower)
        self.max_step = float(max_step)
        self.width = min(int(np.max(max_elements)), self.n_elements)
        for name, values, dtype in (
            ("lower", lower, torch.float64),
            ("upper", upper, torch.float64),
            ("base", base, torch.int64),
            ("max_elements", max_elements, torch.int64),
        ):
            # Not in the state dict: the arrays come from the configuration.
            self.register_buffer(name, torch.as_tensor(np.asarray(values)).to(dtype), persistent=False)
        self.register_buffer("admitted", self.upper > MIN_FRACTION, persistent=False)
        tie_break = torch.arange(self.n_elements, dtype=torch.float64) * 1e-10
        self.register_buffer("tie_break", tie_break, persistent=False)

    def forward(self, obs: Tensor, action: Tensor) -> Tensor:
        """Composition change (x' - x) / max_step, [B, E], in the dtype of the action."""
        at_frac, window = obs[:, : self.n_elements].detach(), self.window_of(obs)
        effect: Tensor = _SimplexMove.apply(action, at_frac, window, self)  # type: ignore[no-untyped-call]
        return effect if self.reach is None else self._kept_near(obs, effect, window, *self.reach)

    def _kept_near(self, obs: Tensor, effect: Tensor, window: Tensor, first: int, left: int) -> Tensor:
        """transition.keep_near; `first` and `left` are the columns of `reach`."""
        limited = obs[:, left] < _LEFT_TOP
        since_start = obs[:, first : first + self.n_elements].detach() / DISPLACEMENT_SCALE
        wanted = since_start + self.max_step * effect
        most = obs[:, left].detach() / CHANGE_LEFT_SCALE + 0.5 * since_start.abs().sum(1)
        change = 0.5 * wanted.abs().sum(1)
        rows = (limited & (change > most + _CHANGE_TOLERANCE)).nonzero().squeeze(1)
        if not len(rows):
            return effect
        here, moved, most = since_start[rows], wanted[rows], most[rows].clamp(min=0.0)
        start = obs[rows, : self.n_elements].detach() - here
        start = torch.where(start > _NOTHING, start, 0.0)
        pulled = moved * (most / change[rows])[:, None]
        shorter = here + (moved - here) * _largest_share(here, moved.detach(), most)[:, None]
        kept = torch.where(self._tidy(start + shorter, window[rows])[:, None], shorter, here)
        kept = torch.where(self._tidy(start + pulled, window[rows])[:, None], pulled, kept)
        return effect.index_copy(0, rows, ((kept - here) / self.max_step).to(effect.dtype))

    def _tidy(self, at_frac: Tensor, window: Tensor) -> Tensor:
        """transition._tidy, [B]; in single precision nothing is exactly zero."""
        present = at_frac.detach() > _NOTHING
        trace = present & (at_frac.detach() < MIN_FRACTION - _NOTHING) & (self.lower[window] <= 0)
        return ~trace.any(1) & (present.sum(1) <= self.max_elements[window])

    def window_of(self, obs: Tensor) -> Tensor:
        """Row of the window that each observation belongs to, [B]."""
        if self.n_windows == 1:
            return torch.zeros(len(obs), dtype=torch.int64, device=obs.device)
        if self.base_from == "largest":
            return obs[:, : self.n_elements][:, self.base].argmax(dim=1)
        return obs[:, self.n_elements : self.n_elements + self.n_windows].argmax(dim=1)

    def label_error(self, obs: Tensor, action: Tensor, effect: Tensor, label: Tensor) -> Tensor:
        """Difference of effects; for an absent element that shall enter but does not yet, the way to its entry.

        Below the entry threshold the effect is flat, so a difference of effects alone could never teach the actor to
        let an element enter. It enters by e with the action 0.5 + e/2, which such an element's action is compared with.
        """
        waits_outside = (obs[:, : self.n_elements] <= 0) & (label > 0) & (action <= ENTER_ABOVE)
        to_entry = action - (ENTER_ABOVE + (1 - ENTER_ABOVE) * label)
        return torch.where(waits_outside, to_entry, effect - label)


def build_effect(spec: Mapping[str, Any]) -> EffectModel:
    """The effect model of a configuration: {'kind': 'identity'} or {'kind': 'projected', lower, upper, base, ...}."""
    options = dict(spec)
    kind = options.pop("kind", None)
    if kind == "identity" and not options:
        return IdentityEffect()
    if kind == "projected":
        return ProjectedEffect(**options)
    raise ConfigError(
        f"effect: expected kind 'identity' or 'projected' with its arrays, got {kind!r} with {list(options)}"
    )


class _SimplexMove(torch.autograd.Function):
    """transition.simplex_step and its gradient with respect to the action."""

    @staticmethod
    def forward(ctx: Any, action: Tensor, at_frac: Tensor, window: Tensor, rule: ProjectedEffect) -> Tensor:
        columns, active, present = _active_columns(action, at_frac, window, rule)
        x = at_frac.gather(1, columns).double() * active
        push = action.gather(1, columns).double().clamp(-1.0, 1.0)
        slope = active / torch.where(present, 1.0, 1.0 - ENTER_ABOVE)
        push = (push - ENTER_ABOVE * ~present) * slope
        entry = window[:, None] * rule.n_elements + columns
        lower, upper = rule.lower.take(entry), rule.upper.take(entry)
        low = torch.maximum(lower, x - rule.max_step) * active
        high = torch.minimum(upper, x + rule.max_step) * active
        is_base = columns == rule.base[window][:, None]
        rows = _Rows(x + rule.max_step * push, low, high, is_base)
        moved, free, capped = _project(rows)
        _drop_traces(rows, lower, present, moved, free, capped)
        ctx.save_for_backward(columns, slope, free, capped, is_base)
        effect = torch.zeros_like(action)
        return effect.scatter_(1, columns, ((moved - x) / rule.max_step).to(action.dtype))

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor | None, ...]:
        columns, slope, free, capped, is_base = ctx.saved_tensors
        g = grads[0].gather(1, columns).double()
        moving = free | capped
        g = g - (g * moving).sum(1, keepdim=True) / moving.sum(1, keepdim=True).clamp_(min=1)
        grad = g * free + is_base * (g * capped).sum(1, keepdim=True)
        result = torch.zeros_like(grads[0])
        return result.scatter_(1, columns, (grad * slope).to(result.dtype)), None, None, None


def _largest_share(here: Tensor, moved: Tensor, most: Tensor) -> Tensor:
    """Largest share of moves that stays within the allowed change, [B]; by bisection, on the safe side."""
    low, high = torch.zeros_like(most), torch.ones_like(most)
    for _ in range(_BISECTIONS):
        middle = 0.5 * (low + high)
        inside = 0.5 * (here + (moved - here) * middle[:, None]).abs().sum(1) <= most
        low, high = torch.where(inside, middle, low), torch.where(inside, high, middle)
    return low


class _Rows:
    """A batch of projections on packed columns: wanted, low, high [B, K] and where the base sits [B, K]."""

    def __init__(self, wanted: Tensor, low: Tensor, high: Tensor, is_base: Tensor) -> None:
        self.wanted, self.low, self.high, self.is_base = wanted, low, high, is_base


def _active_columns(
    action: Tensor, at_frac: Tensor, window: Tensor, rule: ProjectedEffect
) -> tuple[Tensor, Tensor, Tensor]:
    """Elements that may be non-zero after the move, packed to the left: columns, active and present, [B, K].

    One ranking does both jobs: present elements come first, then the strongest wishes, as many as the base admits.
    """
    present = at_frac > 0
    # Equal wishes (clipped at 1) rank by position, as numpy's stable sort does; others differ by 6e-8 in float32.
    wish = torch.where(action > ENTER_ABOVE, action.double().clamp_(max=1.0) - rule.tie_break, 0.0)
    key = torch.where(present, _PRESENT, wish * rule.admitted[window])
    width = max(rule.width, int(present.sum(1).max()))
    top, columns = key.topk(width, dim=1)
    packed_present = top >= _PRESENT
    admitted = torch.arange(width, device=top.device) < rule.max_elements[window][:, None]
    return columns, packed_present | ((top > 0) & admitted), packed_present


def _project(p: _Rows) -> tuple[Tensor, Tensor, Tensor]:
    """transition.project on packed rows: fractions, elements that move freely, elements that the base caps; [B, K]."""
    y, hi = p.wanted, p.high
    base = p.is_base.to(torch.uint8).argmax(1, keepdim=True)
    y_base, hi_base = y.gather(1, base), hi.gather(1, base)
    lo_base = p.low.amax(1, keepdim=True)  # the base's own bound, or that of an element it must stay above
    lo = torch.where(p.is_base, lo_base, p.low)
    left = (y - hi).amin(1, keepdim=True) - 1.0
    right = (y - lo).amax(1, keepdim=True) + 1.0
    shift = (y.sum(1, keepdim=True) - 1.0) / (hi > 0).sum(1, keepdim=True).clamp_(min=1)
    for _ in range(_MAX_ITERATIONS):
        top = torch.clamp(y_base - shift, lo_base, hi_base)
        cap = torch.minimum(hi, top)
        x = torch.maximum(torch.minimum(y - shift, cap), lo)
        excess = x.sum(1, keepdim=True) - 1.0
        # Elements that fall when the shift grows: by themselves, or with the base that caps them.
        base_moves = (top > lo_base) & (top < hi_base)
        moving = (x > lo) & (x < torch.where(base_moves, hi, cap))
        open_rows = excess.abs() > _TOLERANCE
        if not open_rows.any():
            break
        left = torch.where(excess > 0, shift, left)
        right = torch.where(excess < 0, shift, right)
        newton = shift + excess / moving.sum(1, keepdim=True)  # infinite where nothing moves: then bisect
        better = torch.where((newton > left) & (newton < right), newton, 0.5 * (left + right))
        shift = torch.where(open_rows, better, shift)
    free = moving & ((x < top) | p.is_base)
    return x, free, moving & ~free


def _drop_traces(p: _Rows, lower: Tensor, present: Tensor, moved: Tensor, free: Tensor, capped: Tensor) -> None:
    """transition._drop_traces, in place on the rows concerned."""
    trace = (moved < MIN_FRACTION) & (p.high > 0) & (lower <= 0)
    stays_in = moved > 0
    concerned = (trace & stays_in).any(1) | (stays_in.sum(1) < MIN_ELEMENTS)
    rows = concerned.nonzero().squeeze(1)
    if not len(rows):
        return
    trace, high, is_base = trace[rows], p.high[rows], p.is_base[rows]
    remaining = (high > 0).sum(1) - trace.sum(1)
    room = (torch.minimum(high, (high * is_base).amax(1, keepdim=True)) * ~trace).sum(1)
    may_leave = ((remaining >= MIN_ELEMENTS) & (room >= 1))[:, None]
    leaves = trace & (may_leave | ~present[rows])
    stays = (high > 0) & ~leaves & (lower[rows] <= 0)
    low = torch.where(stays, p.low[rows].clamp(min=MIN_FRACTION), p.low[rows]) * ~leaves
    moved[rows], free[rows], capped[rows] = _project(_Rows(p.wanted[rows], low, high * ~leaves, is_base))
