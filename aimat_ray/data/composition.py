"""Compositions: reading and writing formulas, and the only conversion between atomic fractions and at%."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from aimat_ray.errors import CompositionError

FloatArray = NDArray[np.float64]
ObjectArray = NDArray[np.object_]

SUM_TOLERANCE = 1e-9
"""How far the sum of a composition may be from 1 inside the program."""

MIXTURE_TOLERANCE = 0.01
"""How far, relatively, the sum of a bracket may be from 100 (or 1) for it to count as a mixture."""

DUPLICATE_AT_PCT = 0.1
"""Compositions that differ by no more than this in any amount are copies of one alloy."""

MAX_LENGTH = 1000
MAX_DEPTH = 20

_SUBSCRIPTS = str.maketrans("₀₁₂₃₄₅₆₇₈₉‐‑‒–—−·•∙", "0123456789------   ")
_PERCENT_SUFFIX = re.compile(r"[\s(\[]*\bat(?:\.|omic)?\s*[%％][\s)\]]*$|\s*%\s*$", re.IGNORECASE)
_MASS_SUFFIX = re.compile(r"(?:wt|mass|weight)\s*\.?\s*[%％]", re.IGNORECASE)
_TOKEN = re.compile(
    r"\s*(?:(?P<element>[A-Z][a-z]?)|(?P<number>[0-9]+(?:\.[0-9]*)?|\.[0-9]+)\s*%?"
    r"|(?P<open>[(\[{])|(?P<close>[)\]}])|(?P<hyphen>-))"
)
_CLOSES = {")": "(", "]": "[", "}": "{"}

Group = dict[str, float]


def to_at_pct(at_frac: FloatArray) -> FloatArray:
    """Atomic fractions (0..1) to at% (0..100); any shape."""
    return at_frac * 100.0


def from_at_pct(at_pct: FloatArray) -> FloatArray:
    """At% (0..100) to atomic fractions (0..1); any shape."""
    return at_pct / 100.0


def parse_formula(text: str, elements: Sequence[str]) -> FloatArray:
    """Read one formula, such as ``Zr65Cu15Al10Ni10`` or ``[(Fe0.6Ni0.4)0.75B0.2Si0.05]96Nb4``.

    Amounts may be at%, fractions or any multiples: the result is normalised. A missing amount is 1. A bracket
    is a mixture, normalised to 1 before its amount applies, when its contents sum to about 100 or 1, or when
    only that reading makes the enclosing level sum to about 100 or 1 (``Al20(CoCrFe)80``); otherwise it multiplies.

    Args:
        text: The formula. Round, square and curly brackets, decimals, Unicode subscripts, white space, hyphens
            between elements and a final "at%" are understood.
        elements: Symbols of the E axis, in order.

    Returns:
        Atomic fractions, [E], non-negative, summing to 1 within SUM_TOLERANCE.

    Raises:
        CompositionError: Unknown element, negative amount, unbalanced bracket, empty, zero or non-finite sum.
    """
    if not isinstance(text, str):
        raise CompositionError(f"a formula must be text, got {type(text).__name__} {text!r}")
    if len(text) > MAX_LENGTH:
        raise CompositionError(f"formula {_short(text)} has {len(text)} characters; at most {MAX_LENGTH} are read")
    cleaned = text.translate(_SUBSCRIPTS)
    if _MASS_SUFFIX.search(cleaned):
        raise CompositionError(f"formula {_short(text)} is in mass percent; give atomic percent (at%)")
    cleaned = _PERCENT_SUFFIX.sub("", cleaned).strip()
    if not cleaned:
        raise CompositionError(f"formula {_short(text)} is empty; expected one such as Zr65Cu15Al10Ni10")
    return _to_fractions(_Reader(cleaned, text).read(), elements, f"formula {_short(text)}")


def parse_formulas(texts: Sequence[str], elements: Sequence[str]) -> FloatArray:
    """Read formulas, one per row.

    Returns:
        Atomic fractions, [B, E].

    Raises:
        CompositionError: The first formula that can't be read, with its position.
    """
    rows = np.zeros((len(texts), len(elements)))
    for position, text in enumerate(texts):
        try:
            rows[position] = parse_formula(text, elements)
        except CompositionError as error:
            raise CompositionError(f"row {position + 1}: {error.message}") from error
    return rows


def from_mapping(amounts: Mapping[str, float], elements: Sequence[str]) -> FloatArray:
    """Composition from amounts per element (at%, fractions or any multiples; normalised).

    Returns:
        Atomic fractions, [E], summing to 1.

    Raises:
        CompositionError: Unknown element, an amount that is negative or not a number, or nothing at all.
    """
    group: Group = {}
    for symbol, amount in amounts.items():
        try:
            group[symbol] = float(amount)
        except (TypeError, ValueError) as error:
            raise CompositionError(f"amount of {symbol!r} must be a number, got {amount!r}") from error
    return _to_fractions(group, elements, f"composition {_short(str(dict(amounts)))}")


def round_at_pct(at_frac: FloatArray, decimals: int = 1) -> FloatArray:
    """Round every composition to `decimals` of at% such that its sum stays exactly 100 at%.

    Largest-remainder rounding: all amounts are rounded down, then the missing units go to the largest remainders
    (ties: element order).

    Args:
        at_frac: Atomic fractions, [B, E] or [E], non-negative, rows summing to 1.
        decimals: Decimals of at% that are kept.

    Returns:
        Atomic fractions of the same shape; each is a multiple of 10^-decimals at%.
    """
    scale = 10**decimals
    units = _rounded_units(np.atleast_2d(at_frac), scale)
    rounded = units / (100.0 * scale)
    return rounded.reshape(np.shape(at_frac))


def format_formula(at_frac: FloatArray, elements: Sequence[str], decimals: int = 1) -> str:
    """Write a composition as a formula in at%, largest amount first (ties: element order).

    Args:
        at_frac: Atomic fractions, [E], summing to 1.
        elements: Symbols of the E axis, in order.
        decimals: Decimals of at%; the printed amounts sum to exactly 100.
    """
    scale = 10**decimals
    units = _rounded_units(np.atleast_2d(at_frac), scale)[0]
    order = np.argsort(-units, kind="stable")
    return "".join(f"{elements[i]}{_decimal(int(units[i]), decimals)}" for i in order if units[i] > 0)


def composition_key(at_frac: FloatArray, decimals_at_pct: int = 1) -> ObjectArray:
    """Identity of each composition at a resolution of 10^-decimals at% (rows that share a key are duplicates).

    Args:
        at_frac: Atomic fractions, [B, E].
        decimals_at_pct: Decimals of at% that count.

    Returns:
        One bytes key per row, [B].
    """
    units = _nearest_units(np.atleast_2d(at_frac), 10**decimals_at_pct).astype("<i4")
    keys = np.empty(len(units), dtype=object)
    keys[:] = [row.tobytes() for row in units]
    return keys


def system_key(at_frac: FloatArray, elements: Sequence[str], decimals_at_pct: int = 1) -> ObjectArray:
    """Chemical system of each composition: its elements in alphabetical order, such as ``Al-Cu-Zr``.

    An element counts as present when it is still there after rounding, so that rows which share a
    `composition_key` share their system too.

    Args:
        at_frac: Atomic fractions, [B, E].
        elements: Symbols of the E axis, in order.
        decimals_at_pct: Decimals of at% that count.

    Returns:
        One string per row, [B].
    """
    present = _nearest_units(np.atleast_2d(at_frac), 10**decimals_at_pct) > 0
    order = np.argsort(np.asarray(elements, dtype=str))
    names = np.asarray(elements, dtype=object)[order]
    keys = np.empty(len(present), dtype=object)
    keys[:] = ["-".join(names[row]) for row in present[:, order]]
    return keys


def duplicate_groups(at_frac: FloatArray, tolerance_at_pct: float = DUPLICATE_AT_PCT) -> NDArray[np.int64]:
    """Group compositions of which no amount differs by more than the tolerance (directly or through a third).

    Unlike a key on rounded amounts this does not depend on where the rounding grid happens to lie.

    Args:
        at_frac: Atomic fractions, [B, E].
        tolerance_at_pct: Largest difference of any amount, at%.

    Returns:
        Number of the group of each row, [B]; numbered in order of first appearance.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components
    from scipy.spatial import cKDTree

    n = len(at_frac)
    if n == 0:
        return np.zeros(0, dtype=np.int64)
    # 1e-6 at% of slack: 15.1 - 15.0 is a little more than 0.1 in binary.
    pairs = cKDTree(to_at_pct(at_frac)).query_pairs(tolerance_at_pct + 1e-6, p=np.inf, output_type="ndarray")
    graph = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(n, n))
    labels = connected_components(graph, directed=False)[1]
    _, first, group = np.unique(labels, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[group].astype(np.int64)


class _Reader:
    """Reads one formula with an explicit stack, so that nesting can't exhaust the interpreter's."""

    def __init__(self, cleaned: str, original: str) -> None:
        self.text = cleaned
        self.name = f"formula {_short(original)}"
        self.tokens = self._tokens()
        self.position = 0

    def _tokens(self) -> list[tuple[str, str]]:
        tokens, position = [], 0
        while position < len(self.text):
            match = _TOKEN.match(self.text, position)
            if match is None:
                if not self.text[position:].strip():
                    break
                rest = self.text[position:].lstrip()
                hint = "; symbols start with a capital letter" if rest[0].islower() else ""
                raise CompositionError(f"{self.name}: can't read {rest[:12]!r}{hint}")
            tokens.append((str(match.lastgroup), match.group(str(match.lastgroup))))
            position = match.end()
        return tokens

    def read(self) -> Group:
        """Amounts per element, not normalised."""
        stack: list[list[tuple[Group, float]]] = [[]]
        opened: list[str] = []
        while self.position < len(self.tokens):
            kind, text = self.tokens[self.position]
            self.position += 1
            if kind == "element":
                stack[-1].append(({text: 1.0}, self._amount()))
            elif kind == "open":
                opened.append(text)
                stack.append([])
                if len(opened) > MAX_DEPTH:
                    raise CompositionError(f"{self.name}: more than {MAX_DEPTH} nested brackets")
            elif kind == "close":
                if not opened or opened.pop() != _CLOSES[text]:
                    raise CompositionError(f"{self.name}: {text!r} closes no bracket")
                contents = self._level(stack.pop())
                stack[-1].append((contents, self._amount()))
            else:
                self._separator(kind, text)
        if opened:
            raise CompositionError(f"{self.name}: bracket {opened[-1]!r} is not closed")
        return self._level(stack[0])

    def _amount(self) -> float:
        if self.position < len(self.tokens) and self.tokens[self.position][0] == "number":
            self.position += 1
            return float(self.tokens[self.position - 1][1])
        return 1.0

    def _separator(self, kind: str, text: str) -> None:
        """Accept a hyphen between two parts; anything else here is an error."""
        following = self.tokens[self.position][0] if self.position < len(self.tokens) else ""
        if kind == "hyphen" and following == "number":
            raise CompositionError(
                f"{self.name}: negative amount -{self.tokens[self.position][1][:12]}; amounts must be >= 0"
            )
        if kind == "hyphen" and self.position > 1 and following in ("element", "open"):
            return
        where = "a number must follow an element or a bracket" if kind == "number" else "it joins no two parts"
        raise CompositionError(f"{self.name}: can't place {_short(text, 12)}; {where}")

    def _level(self, parts: list[tuple[Group, float]]) -> Group:
        """Add up one bracket level, taking brackets that are mixtures as such."""
        if not parts:
            raise CompositionError(f"{self.name}: an empty bracket")
        as_mixture = _is_whole(sum(amount for _, amount in parts))
        total: Group = {}
        for group, amount in parts:
            size = sum(group.values())
            mixture = size > 0 and len(group) > 1 and (as_mixture or _is_whole(size))
            factor = amount / size if mixture else amount
            for symbol, share in group.items():
                total[symbol] = total.get(symbol, 0.0) + share * factor
        return total


def _is_whole(size: float) -> bool:
    """Whether amounts of this sum are shares of a whole: per cent, or fractions of 1."""
    return abs(size - 100.0) <= 100.0 * MIXTURE_TOLERANCE or abs(size - 1.0) <= MIXTURE_TOLERANCE


def _to_fractions(group: Group, elements: Sequence[str], name: str) -> FloatArray:
    """Normalise amounts per element, [E]."""
    index = {symbol: i for i, symbol in enumerate(elements)}
    amounts = np.zeros(len(elements))
    for symbol, amount in group.items():
        if symbol not in index:
            raise CompositionError(f"{name}: unknown element {symbol!r}; expected one of: {' '.join(sorted(elements))}")
        if not np.isfinite(amount):
            raise CompositionError(f"{name}: the amount of {symbol} is not finite")
        if amount < 0:
            raise CompositionError(f"{name}: negative amount {amount:g} of {symbol}; amounts must be >= 0")
        amounts[index[symbol]] = amount
    with np.errstate(over="ignore"):
        total = float(amounts.sum())
    if not np.isfinite(total):
        raise CompositionError(f"{name}: the amounts are too large to add up")
    if total <= 0:
        raise CompositionError(f"{name}: the amounts sum to zero")
    # Scaled by the largest amount first: tiny or huge amounts then neither vanish nor overflow.
    scaled = amounts / amounts.max()
    return np.asarray(scaled / scaled.sum(), dtype=np.float64)


def _nearest_units(at_frac: FloatArray, scale: int) -> NDArray[np.int64]:
    """Amounts in units of 1/scale at%, halves up, [B, E].

    Rounding to 6 decimals of a unit first makes 33.35 at% the same number however it was computed.
    """
    return np.floor(np.round(to_at_pct(at_frac) * scale, 6) + 0.5).astype(np.int64)


def _rounded_units(at_frac: FloatArray, scale: int) -> NDArray[np.int64]:
    """Largest-remainder rounding to units of 1/scale at%, [B, E]; rows sum to 100 * scale."""
    exact = np.round(to_at_pct(at_frac) * scale, 6)
    units = np.floor(exact).astype(np.int64)
    missing = 100 * scale - units.sum(axis=1)
    order = np.argsort(-(exact - units), axis=1, kind="stable")
    rank = np.empty_like(order)
    np.put_along_axis(rank, order, np.broadcast_to(np.arange(order.shape[1]), order.shape), axis=1)
    return units + (rank < missing[:, None])


def _decimal(units: int, decimals: int) -> str:
    whole, rest = divmod(units, 10**decimals)
    fraction = f"{rest:0{decimals}d}".rstrip("0") if decimals else ""
    return f"{whole}.{fraction}" if fraction else str(whole)


def _short(text: str, length: int = 60) -> str:
    """The text quoted, cut to a length fit for a message."""
    return repr(text if len(text) <= length else text[:length] + "...")
