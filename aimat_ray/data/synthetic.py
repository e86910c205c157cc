"""OracleWorld: a synthetic world of alloys whose true properties are known for every composition.

Formulas and their reasons are in `oracle-world-design.md`; the tables sampled from it, in `synthetic_tables.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aimat_ray.data.alloy_table import AlloyTable
from aimat_ray.data.blocks import BLOCK, pad_columns, padded_blocks
from aimat_ray.data.elements import load_element_table, load_pair_enthalpies
from aimat_ray.errors import CompositionError, ProblemError
from aimat_ray.prediction import DomainReason, Prediction
from aimat_ray.problem import DesignProblem, load_problem

FloatArray = NDArray[np.float64]

PROPERTY_KEYS = (
    "tg_k",
    "tx_k",
    "tl_k",
    "dmax_mm",
    "yield_strength_mpa",
    "youngs_modulus_gpa",
    "elongation_pct",
)
GAS_CONSTANT = 8.314462618  # J/(mol K)
# An alloy counts as castable (feasible) from this critical diameter on; the class boundary is soft.
CASTABLE_MM = 0.7
GLASSY_MM = 0.25  # a test bar is half glassy here
BOUNDARY_WIDTH = 0.30  # of both, in ln mm
GFA_LEVEL = 0.9  # ln mm, of an unwaved alloy with average trg, window and entropy
GFA_TOP = 4.0  # ln mm
# Waves in composition space: lengths (atomic fraction) over which properties change, and how many.
SLOW, FAST = (0.35, 26), (0.12, 38)
WAVED = ("tg", "trg", "window", "log_modulus", "gfa", "glass_yield", "log_strain", "crystal_yield")
# Standard deviation of the slow and of the fast waves in each of WAVED, in the unit of the quantity.
WAVE_SIZE: dict[str, tuple[float, float]] = {
    "tg": (80.0, 6.0),
    "trg": (0.045, 0.014),
    "window": (16.0, 8.0),
    "log_modulus": (0.12, 0.02),
    "gfa": (0.35, 0.80),
    "glass_yield": (100.0, 115.0),
    "log_strain": (0.45, 0.40),
    "crystal_yield": (350.0, 200.0),
}
WORLD_CONSTANT = 52_1284_6872  # draws the waves that all seeds share
TRADE_OFF = -0.8  # correlation of the waves of glass yield with those of glass-forming ability
SEED_SHARE = 0.5  # weight of a seed's own waves; squared, its share of their variance
RUN = 32  # blocks evaluated together
PAIR_RANK = 16  # modes of the pair enthalpies that are kept
SEED_SLOPE = 0.05  # relative spread of the physical slopes over seeds

# Mean and standard deviation of one wave, `_bumps`, over a period: 1/30 and sqrt(1/630 - 1/900).
BUMP_MEAN, BUMP_STD = 1.0 / 30.0, (1.0 / 630.0 - 1.0 / 900.0) ** 0.5
# Element columns that the formulas average; the last two enter squared as well (mismatches).
MEANS = ("melting_point", "boiling_point", "youngs_modulus", "molar_volume", "vec", "is_metalloid")
MISMATCHES = ("packing_radius", "en_pauling")


@dataclass(frozen=True)
class _Slopes:
    """Slopes of the physical part. Values: rounded fits of the published table's trends (design note)."""

    tg_melting: float = 0.30
    tg_en: float = -215.0
    tg_volume: float = -10.5
    tg_enthalpy: float = -0.9
    trg_tg: float = 0.9e-4
    trg_en: float = -0.15
    trg_enthalpy: float = -7e-4
    trg_entropy: float = 5e-3
    window_boiling: float = 0.0105
    window_entropy: float = 1.2
    window_enthalpy: float = -0.22
    modulus_mean: float = 4.4e-3
    modulus_volume: float = -0.118
    modulus_metalloid: float = -0.3
    modulus_enthalpy: float = -7e-3
    gfa_trg: float = 13.0
    gfa_window: float = 0.024
    gfa_entropy: float = 0.12
    gfa_stiffness: float = -2.5
    yield_modulus: float = 17.5
    strain_tg: float = -4e-3
    strain_yield: float = -3e-4
    crystal_vec: float = -200.0
    crystal_size: float = 40.0
    crystal_modulus: float = 3.0
    stretch_vec: float = 0.6

    def perturbed(self, rng: np.random.Generator) -> _Slopes:
        """The same slopes, each scaled by a factor near 1."""
        values = vars(self)
        factors = 1.0 + SEED_SLOPE * rng.standard_normal(len(values))
        return _Slopes(**{name: float(v * f) for (name, v), f in zip(values.items(), factors, strict=True)})


@dataclass(frozen=True)
class BlindSpot:
    """A law that is added to one property and depends on one physical quantity alone.

    A surrogate that does not see the quantity can only learn the law by heart, alloy family by alloy family; where
    the property is not measured, it does not know it.

    Attributes:
        property_key: The property.
        quantity: What it depends on: enthalpy (of mixing, kJ/mol), size (mismatch, %), en (mismatch), entropy, vec.
        size: Largest change of the property, in its unit.
        centre: Where the law is half way.
        width: The law is offset + size * tanh((quantity - centre) / width).
        offset: Added to every alloy, to keep the property where measurements of it can lie.
    """

    property_key: str
    quantity: str = "enthalpy"
    size: float = 500.0
    centre: float = -30.0
    width: float = 8.0
    offset: float = 0.0

    def law(self, quantity: FloatArray) -> FloatArray:
        """What is added."""
        return self.offset + self.size * np.tanh((quantity - self.centre) / self.width)


def _hinge(x: FloatArray, width: float) -> FloatArray:
    """Smooth max(x, 0), rounded off over `width`: (x + sqrt(x^2 + width^2)) / 2."""
    y: FloatArray = x * x
    y += width * width
    np.sqrt(y, out=y)
    y += x
    y *= 0.5
    return y


class OracleWorld:
    """A world of alloys with a known truth.

    Args:
        seed: Which world. Worlds share the physics and half of the waves' amplitude; seeds differ in the rest.
        problem: Gives the elements and the properties; the built-in problem by default.
        blind_spot: A law on top, to test whether its absence from a surrogate is noticed and mended.

    Raises:
        ProblemError: A property of the problem that the world has no formula for.
    """

    def __init__(
        self, seed: int = 0, problem: DesignProblem | None = None, blind_spot: BlindSpot | None = None
    ) -> None:
        self.seed = int(seed)
        self.blind_spot = blind_spot
        self.problem = problem or load_problem()
        unknown = [key for key in self.problem.property_keys if key not in PROPERTY_KEYS]
        if unknown:
            raise ProblemError(
                f"the synthetic world has no property {unknown[0]!r}; it has: {', '.join(PROPERTY_KEYS)}"
            )
        self._order = [PROPERTY_KEYS.index(key) for key in self.problem.property_keys]
        rng = np.random.default_rng([WORLD_CONSTANT, self.seed])
        self._slopes = _Slopes().perturbed(rng)
        self._matrix, self._signs = _constant_matrix(self.problem.elements)
        self._waves = _wave_amplitudes(rng)
        self._wave_level = BUMP_MEAN * self._waves.sum(axis=0)[: len(WAVED), None, None]

    @property
    def version(self) -> str:
        """Name of this world where a surrogate has its version."""
        return f"oracle-{self.seed}"

    def truth(self, at_frac: FloatArray) -> FloatArray:
        """True property values.

        Args:
            at_frac: Atomic fractions, [B, E], non-negative, rows summing to 1; any composition. Not modified.

        Returns:
            [B, P], in the units of the property keys. A row's bits do not depend on the rest of the batch.
        """
        return self._evaluate(at_frac)[0]

    def p_feasible(self, at_frac: FloatArray) -> FloatArray:
        """Probability that a casting of each composition is of the feasible class, [B], 0..1."""
        return self._evaluate(at_frac)[1]

    def feasible(self, at_frac: FloatArray) -> NDArray[np.bool_]:
        """Whether each composition is truly castable as a glass: p_feasible at the problem's threshold, [B]."""
        truly: NDArray[np.bool_] = self.p_feasible(at_frac) >= self.problem.feasibility.threshold
        return truly

    def predict(self, at_frac: FloatArray) -> Prediction:
        """The truth in the shape of a surrogate's answer: intervals of zero width, always in the domain."""
        mean, p_feasible = self._evaluate(at_frac)
        n = len(mean)
        return Prediction(
            p_feasible=p_feasible,
            mean=mean,
            lower=mean.copy(),
            upper=mean.copy(),
            spread=np.zeros_like(mean),
            distance=np.zeros(n),
            in_domain=np.ones(n, dtype=bool),
            reason=np.full(n, DomainReason.INSIDE, dtype=np.uint8),
            version=self.version,
        )

    def sample_tables(self, seed: int = 0) -> tuple[AlloyTable, AlloyTable]:
        """Draw tables of measurements like the published ones: their sizes, gaps, confounding and noise.

        Args:
            seed: Which draw of this world.

        Returns:
            The regression and the classification table.
        """
        from aimat_ray.data.synthetic_tables import sample_tables

        return sample_tables(self, seed)

    def _evaluate(self, at_frac: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Truth [B, P] and feasibility [B]."""
        at_frac = np.asarray(at_frac, dtype=np.float64)
        n_elements = len(self.problem.elements)
        if at_frac.ndim != 2 or at_frac.shape[1] != n_elements:
            raise CompositionError(f"compositions: expected shape [B, {n_elements}], got {list(at_frac.shape)}")
        values = np.empty((len(at_frac), len(PROPERTY_KEYS)))
        p = np.empty(len(at_frac))
        buffer = np.empty((RUN, BLOCK, self._matrix.shape[1]))
        for where, blocks in padded_blocks(at_frac, at_once=RUN):
            n = where.stop - where.start
            columns, p_blocks = self._columns(blocks, np.matmul(blocks, self._matrix, out=buffer[: len(blocks)]))
            for i, key in enumerate(PROPERTY_KEYS):
                values[where, i] = columns[key].ravel()[:n]
            p[where] = p_blocks.ravel()[:n]
        return (values if self._order == list(range(values.shape[1])) else values[:, self._order]), p

    def _columns(self, x: FloatArray, products: FloatArray) -> tuple[dict[str, FloatArray], FloatArray]:
        """Property columns and feasibility of blocks [n_blocks, block, E], each [n_blocks, block]."""
        q = _features(x, products, self._signs)
        start = len(MEANS) + 2 * len(MISMATCHES) + PAIR_RANK
        waved = _bumps(products[..., start : start + SLOW[1] + FAST[1]]) @ self._waves
        w = dict(zip(WAVED, _columns_first(waved, len(WAVED)) - self._wave_level, strict=True))
        s = self._slopes
        enthalpy, entropy = q["enthalpy"] + 25.0, q["entropy"] - 8.9

        tg = 342.0 + s.tg_melting * q["melting_point"] + s.tg_en * q["en"] + s.tg_volume * q["molar_volume"]
        tg = 230.0 + _hinge(tg + s.tg_enthalpy * enthalpy + w["tg"] - 230.0, 30.0)
        trg = 0.58 + s.trg_tg * (tg - 640.0) + s.trg_en * (q["en"] - 0.26)
        trg += s.trg_enthalpy * enthalpy + s.trg_entropy * entropy + w["trg"]
        trg = 0.55 + 0.14 * np.tanh((trg - 0.55) / 0.14)
        window = 58.0 + s.window_boiling * (q["boiling_point"] - 3300.0) + s.window_entropy * entropy
        window = 8.0 + _hinge(window + s.window_enthalpy * enthalpy + w["window"] - 8.0, 12.0)
        log_modulus = 5.18 + s.modulus_mean * q["youngs_modulus"] + s.modulus_volume * q["molar_volume"]
        log_modulus += s.modulus_metalloid * q["is_metalloid"] + s.modulus_enthalpy * enthalpy
        log_modulus += 0.03 + w["log_modulus"]
        modulus = np.exp(log_modulus)
        stiffness = log_modulus - 4.42 - 1.6 * np.log(tg / 640.0)

        gfa = s.gfa_trg * (trg - 0.577) + s.gfa_window * (window - 54.0) + s.gfa_entropy * entropy + w["gfa"]
        gfa += GFA_LEVEL + s.gfa_stiffness * stiffness - _glass_penalty(q)
        gfa = GFA_TOP - _hinge(GFA_TOP - gfa, 0.4)
        p = 1.0 / (1.0 + np.exp((np.log(CASTABLE_MM) - gfa) / BOUNDARY_WIDTH))
        # Test bars of alloys that nearly cast are partly glassy: strength changes below the class boundary.
        glassy = 1.0 / (1.0 + np.exp((np.log(GLASSY_MM) - gfa) / BOUNDARY_WIDTH))

        strong = 180.0 + s.yield_modulus * modulus + w["glass_yield"]
        strain = 1.5 + s.strain_tg * (tg - 690.0) + s.strain_yield * (strong - 1750.0) + w["log_strain"]
        soft = 1180.0 + s.crystal_vec * (q["vec"] - 6.0) + s.crystal_size * (q["size"] - 5.2)
        soft = 150.0 + _hinge(
            soft + s.crystal_modulus * (q["youngs_modulus"] - 168.0) + w["crystal_yield"] - 150.0, 100.0
        )
        stretch = 2.5 + s.stretch_vec * (q["vec"] - 6.0) - 6e-4 * (soft - 1366.0) + 1.2 * w["log_strain"]
        columns: dict[str, FloatArray] = {
            "tg_k": tg,
            "tx_k": tg + window,
            "tl_k": tg / trg,
            "dmax_mm": np.exp(gfa),
            "yield_strength_mpa": glassy * strong + (1.0 - glassy) * soft,
            "youngs_modulus_gpa": modulus,
            "elongation_pct": np.exp(glassy * np.minimum(strain, 2.4) + (1.0 - glassy) * np.minimum(stretch, 4.0)),
        }
        if (spot := self.blind_spot) is not None:
            columns[spot.property_key] = np.maximum(columns[spot.property_key] + spot.law(q[spot.quantity]), 0.0)
        return columns, p


def _columns_first(products: FloatArray, n: int) -> FloatArray:
    """The first n columns, each contiguous: [n, n_blocks, block]; strided columns would double the run time."""
    return np.ascontiguousarray(np.moveaxis(products[..., :n], -1, 0))


def _bumps(turns: FloatArray) -> FloatArray:
    """A smooth wave of period 1, (1/4 - t^2)^2 with t the distance to the nearest whole number, in place.

    Twice continuously differentiable like a cosine in all that matters here, at a tenth of its cost.
    """
    turns -= np.rint(turns)
    turns *= turns
    turns -= 0.25
    turns *= turns
    return turns


def _glass_penalty(q: dict[str, FloatArray]) -> FloatArray:
    """What keeps an alloy from vitrifying, in ln mm: atoms too alike or too unlike, weak or too strong mixing."""
    penalty = 0.9 * _hinge(7.5 - q["size"], 1.0)
    penalty += 0.5 * _hinge(q["size"] - 19.0, 1.0)
    penalty += 0.22 * _hinge(q["enthalpy"] + 9.0, 3.0)
    penalty += 0.15 * _hinge(-45.0 - q["enthalpy"], 3.0)
    penalty += 0.7 * _hinge(5.6 - q["entropy"], 0.7)
    return penalty


def _features(x: FloatArray, products: FloatArray, signs: FloatArray) -> dict[str, FloatArray]:
    """Averages, mismatches, mixing entropy and enthalpy, each [n_blocks, block]."""
    i = len(MEANS)
    averages = _columns_first(products, i + 2 * len(MISMATCHES))
    q = dict(zip(MEANS, averages, strict=False))
    radius, radius2, chi, chi2 = averages[i:]
    # Padding rows are all zero: keep their divisions finite.
    q["size"] = 100.0 * np.sqrt(np.maximum(radius2 / np.maximum(radius, 1.0) ** 2 - 1.0, 0.0))
    q["en"] = np.sqrt(np.maximum(chi2 - chi**2, 0.0))
    log_x = np.maximum(x, 1e-300)
    np.log(log_x, out=log_x)
    q["entropy"] = -GAS_CONSTANT * np.einsum("...e,...e->...", x, log_x)
    modes = products[..., i + 4 : i + 4 + PAIR_RANK]
    q["enthalpy"] = np.einsum("...k,...k,k->...", modes, modes, signs)
    return q


def _constant_matrix(elements: tuple[str, ...]) -> tuple[FloatArray, FloatArray]:
    """Everything linear in the composition, [E, columns], and the signs of the pair modes."""
    table = load_element_table(elements)
    raw = np.column_stack([table.column(name) for name in MEANS])
    # The world's own convention: an element without a modulus has the mean one.
    means = np.where(np.isfinite(raw), raw, np.nanmean(raw, axis=0))
    squares = [column for name in MISMATCHES for v in [table.column(name)] for column in (v, v**2)]
    # ... and an element without pair enthalpies mixes ideally.
    modes, signs = _pair_modes(np.nan_to_num(load_pair_enthalpies(elements)))
    rng = np.random.default_rng(WORLD_CONSTANT)
    lengths = np.repeat([1.0 / SLOW[0], 1.0 / FAST[0]], [SLOW[1], FAST[1]])
    directions = rng.standard_normal((len(elements), len(lengths))) * lengths / (2.0 * np.pi)
    # Fractions sum to 1, so a phase is a constant added to every element.
    directions += rng.uniform(0.0, 1.0, len(lengths))
    return pad_columns(np.hstack([means, np.column_stack(squares), modes, directions])), signs


def _pair_modes(pairs: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The mixing enthalpy as a short sum of squares: h_mix = sum_k sign_k (x . mode_k)^2.

    Miedema's model has few parameters, so PAIR_RANK of the 52 eigenvectors hold all but 0.2 kJ/mol.
    """
    values, vectors = np.linalg.eigh(2.0 * pairs)
    kept = np.argsort(-np.abs(values), kind="stable")[:PAIR_RANK]
    return vectors[:, kept] * np.sqrt(np.abs(values[kept])), np.sign(values[kept])


def _wave_amplitudes(rng: np.random.Generator) -> FloatArray:
    """Amplitude of each wave in each of WAVED, padded, [waves, columns]."""
    shared = np.random.default_rng([WORLD_CONSTANT, 1])
    shape = (SLOW[1] + FAST[1], len(WAVED))
    mixed = np.sqrt(1.0 - SEED_SHARE**2) * shared.standard_normal(shape) + SEED_SHARE * rng.standard_normal(shape)
    gfa, strong = WAVED.index("gfa"), WAVED.index("glass_yield")
    mixed[:, strong] = TRADE_OFF * mixed[:, gfa] + np.sqrt(1.0 - TRADE_OFF**2) * mixed[:, strong]
    sizes = np.array([WAVE_SIZE[name] for name in WAVED])
    scale = 1.0 / BUMP_STD * np.repeat(np.sqrt(1.0 / np.array([SLOW[1], FAST[1]])), [SLOW[1], FAST[1]])[:, None]
    bands = np.repeat(sizes.T, [SLOW[1], FAST[1]], axis=0)
    return pad_columns(mixed * scale * bands)
