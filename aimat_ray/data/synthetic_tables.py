"""Tables of measurements drawn from an OracleWorld: what its laboratories made, measured, missed and got wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from aimat_ray.data.alloy_table import AlloyTable
from aimat_ray.data.composition import format_formula
from aimat_ray.data.synthetic import PROPERTY_KEYS, OracleWorld
from aimat_ray.errors import ProblemError

FloatArray = NDArray[np.float64]

THERMAL = ("tg_k", "tx_k", "tl_k", "dmax_mm")
# Noise of one measurement, and offset of one laboratory (a series of alloys shares it): absolute for temperatures,
# relative (in ln) for the others. tx_k: noise of the window tx - tg.
NOISE = {
    "tg_k": 6.0,
    "tx_k": 6.0,
    "tl_k": 14.0,
    "dmax_mm": 0.30,
    "yield_strength_mpa": 0.06,
    "youngs_modulus_gpa": 0.05,
    "elongation_pct": 0.35,
}
LAB = {
    "tg_k": 6.0,
    "tx_k": 4.0,
    "tl_k": 14.0,
    "dmax_mm": 0.25,
    "yield_strength_mpa": 0.07,
    "youngs_modulus_gpa": 0.05,
    "elongation_pct": 0.25,
}
RELATIVE = ("dmax_mm", "yield_strength_mpa", "youngs_modulus_gpa", "elongation_pct")
BRITTLE_SHARE = 0.07  # of measured elongations that are reported as zero
DUPLICATES = 24  # regression rows that repeat a composition of another laboratory
LEAST_DMAX, LARGEST_DMAX = 0.5, 40.0  # mm; rods thinner than the first are rarely reported
LARGEST_STRAIN = 75.0  # %
RIBBON_NOISE = 0.4  # of a ribbon's verdict, in ln mm
RIBBON_MM = 0.05  # melt spinning vitrifies alloys with a critical thickness above this
# Ribbons that would cast into rods this thick get cast, and are no longer "ribbon only".
RIBBON_TOP_MM = 0.7
SERIES_MEAN = 3.4  # alloys a laboratory makes of one system
# The published glasses are good ones: an alloy is worth a series with this soft threshold, in ln mm.
WORTH, WORTH_WIDTH = 1.0, 0.7


@dataclass(frozen=True)
class _Rows:
    """Alloys made in series: compositions [N, E] and the laboratory of each (one per series), [N]."""

    at_frac: FloatArray
    lab: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.lab)


@lru_cache(maxsize=1)
def oracle_tables() -> dict[str, Any]:
    """The packaged description of what is made and measured (`tables/oracle.yaml`)."""
    text = (resources.files("aimat_ray.data.tables") / "oracle.yaml").read_text(encoding="utf-8")
    document: dict[str, Any] = yaml.safe_load(text)
    return document


def sample_tables(world: OracleWorld, seed: int) -> tuple[AlloyTable, AlloyTable]:
    """Draw both tables; see `OracleWorld.sample_tables`."""
    return _Sampler(world, np.random.default_rng([world.seed, seed, 7])).tables()


class _Sampler:
    """One draw of the tables."""

    def __init__(self, world: OracleWorld, rng: np.random.Generator) -> None:
        self.world, self.rng = world, rng
        self.elements = world.problem.elements
        self.position = world.problem.element_index
        self.keys = world.problem.property_keys
        self.spec = oracle_tables()
        missing = [base for base in self.spec["families"] if base not in self.position]
        if missing:
            raise ProblemError(
                f"problem {world.problem.name!r} has no element {missing[0]}, which the synthetic tables need"
            )
        # Offsets of laboratories in units of LAB, one row each; more than enough of them.
        self.offsets = rng.standard_normal((20_000, len(self.keys)))
        self.next_lab = 0

    def tables(self) -> tuple[AlloyTable, AlloyTable]:
        """The regression and the classification table."""
        glasses, values = self._glasses()
        crystals, crystal_values = self._crystals()
        compositions = np.vstack([glasses, crystals])
        labels = ["BMG"] * len(glasses) + ["CRA"] * len(crystals)
        regression = self._shuffled(compositions, np.vstack([values, crystal_values]), labels)
        extra = [self._series(base, n).at_frac for base, n in self.spec["classification_only"].items()]
        ribbons, ribbon_labels = self._ribbons()
        everything = np.vstack([compositions, *extra, ribbons])
        labels = [*labels, *["BMG"] * sum(map(len, extra)), *ribbon_labels]
        blank = np.full((len(everything), len(self.keys)), np.nan)
        return regression, self._shuffled(everything, blank, labels)

    def _shuffled(self, at_frac: FloatArray, values: FloatArray, labels: Sequence[str]) -> AlloyTable:
        order = self.rng.permutation(len(at_frac))
        at_frac, positive = at_frac[order], self.world.problem.feasibility.positive
        label = tuple(labels[i] for i in order)
        return AlloyTable(
            at_frac=at_frac,
            values=values[order],
            feasible=np.array([float(name == positive) for name in label]),
            label=label,
            formula=tuple(format_formula(row, self.elements) for row in at_frac),
            source_row=np.arange(2, len(at_frac) + 2, dtype=np.int64),
        )

    # Glasses: series of castable alloys per base, with the gaps of the published table.

    def _glasses(self) -> tuple[FloatArray, FloatArray]:
        blocks, values = [], []
        for base, counts in self.spec["regression"].items():
            ties = self.spec["ties"].get(base, {})
            parts = [self._series(base, n, tied) for tied, n in ties.items()]
            parts.append(self._series(base, counts[0] - sum(ties.values())))
            rows = _Rows(np.vstack([p.at_frac for p in parts]), np.concatenate([p.lab for p in parts]))
            rows = self._duplicated(rows, round(DUPLICATES * counts[0] / 1079))
            order = self._series_order(rows)
            rows = _Rows(rows.at_frac[order], rows.lab[order])
            blocks.append(rows.at_frac)
            values.append(np.where(self._measured(counts), self._measure(rows), np.nan))
        return np.vstack(blocks), np.vstack(values)

    def _series_order(self, rows: _Rows) -> NDArray[np.int64]:
        """Rows in random order of laboratories, so that what is measured goes by laboratory."""
        labs = np.unique(rows.lab)
        rank = dict(zip(labs.tolist(), self.rng.permutation(len(labs)).tolist(), strict=True))
        return np.argsort([rank[lab] for lab in rows.lab.tolist()], kind="stable")

    def _duplicated(self, rows: _Rows, n: int) -> _Rows:
        """Let n rows repeat the composition of another row."""
        at_frac = rows.at_frac.copy()
        if n:
            first, second = self.rng.permutation(len(rows))[: 2 * n].reshape(2, n)
            at_frac[first] = at_frac[second]
        return _Rows(at_frac, rows.lab)

    def _measured(self, counts: Sequence[int]) -> NDArray[np.bool_]:
        """Which properties of which rows of a base are measured, [N, P].

        Laboratories that cast alloys give thermal properties, and some of them test strength and elongation; others
        only measure the modulus. So the first rows have the thermal properties, and the moduli start at the end.
        """
        n, by_key = counts[0], dict(zip(PROPERTY_KEYS, counts[1:], strict=True))
        n_thermal = max(by_key[key] for key in THERMAL)
        measured = np.zeros((n, len(self.keys)), dtype=bool)
        for i, key in enumerate(self.keys):
            count = by_key[key]
            if key in THERMAL:
                measured[self.rng.permutation(n_thermal)[:count], i] = True
            elif key == "youngs_modulus_gpa":
                rows = [*range(n_thermal, n), *range(n_thermal)]
                measured[rows[:count], i] = True
            else:
                measured[:count, i] = True
        return measured

    def _series(self, base: str, n: int, tied: str | None = None) -> _Rows:
        """Castable alloys of a base in series of neighbours, n rows."""
        kept: list[_Rows] = []
        spare: list[tuple[FloatArray, FloatArray]] = []
        missing = n
        for _ in range(12):
            rows = self._proposed(base, 48 if n < 30 else 256, tied)
            latent = self._log_dmax(rows.at_frac)
            seen = latent + LAB["dmax_mm"] * self.offsets[rows.lab, self.keys.index("dmax_mm")]
            worth = self.rng.random(self.next_lab)[rows.lab] < 1.0 / (1.0 + np.exp((WORTH - latent) / WORTH_WIDTH))
            good = worth & (seen > np.log(LEAST_DMAX))
            kept.append(_Rows(rows.at_frac[good][:missing], rows.lab[good][:missing]))
            spare.append((rows.at_frac[~good], latent[~good]))
            missing -= len(kept[-1])
            if missing <= 0:
                break
        if missing > 0:  # a base whose alloys hardly cast in this world: its best ones stand for it
            at_frac, latent = np.vstack([s[0] for s in spare]), np.concatenate([s[1] for s in spare])
            best = np.argsort(-latent, kind="stable")[:missing]
            kept.append(_Rows(at_frac[best], np.full(missing, self._new_labs(1)[0])))
        return _Rows(np.vstack([k.at_frac for k in kept]), np.concatenate([k.lab for k in kept]))

    def _proposed(self, base: str, n_series: int, tied: str | None) -> _Rows:
        """Series around random members of the base's family, castable or not."""
        mothers = self._members(base, n_series, tied)
        length = 1 + self.rng.poisson(SERIES_MEAN - 1.0, n_series)
        lab = np.repeat(self._new_labs(n_series), length)
        step = np.concatenate([np.arange(k) for k in length])
        rows = np.repeat(mothers, length, axis=0)
        rows += step[:, None] * np.repeat(
            self._directions(mothers, None if tied is None else (base, tied)), length, axis=0
        )
        rows = _rounded(rows, np.repeat(self.rng.choice([1.0, 0.5, 0.1], n_series, p=[0.5, 0.25, 0.25]), length))
        i = self.position[base]
        if tied is not None:
            j = self.position[tied]
            rest = np.round((100.0 - rows[:, i] - rows[:, j]) / 0.2) * 0.2
            others = np.delete(np.arange(rows.shape[1]), [i, j])
            scale = rest / np.maximum(rows[:, others].sum(axis=1), 1e-9)
            rows[:, others] = np.round(rows[:, others] * scale[:, None], 1)
            rows[:, i] = rows[:, j] = (100.0 - rows[:, others].sum(axis=1)) / 2.0
        else:
            rows[:, i] += 100.0 - rows.sum(axis=1)
        others_max = np.delete(rows, [i] if tied is None else [i, self.position[tied]], axis=1).max(axis=1)
        valid = (rows >= 0.0).all(axis=1) & (rows[:, i] > others_max + 0.05)
        rows = np.round(rows[valid], 2)
        return _Rows(rows / rows.sum(axis=1, keepdims=True), lab[valid])

    def _members(self, base: str, n: int, tied: str | None) -> FloatArray:
        """Random alloys of a base's family, at%, [n, E]."""
        family = self.spec["families"][base]
        partners = [p for p in family["partners"] if p in self.position]
        table = np.array([family["partners"][p] for p in partners], dtype=np.float64)
        sizes = self.spec["n_elements"]
        shares = np.array(list(sizes.values()))
        n_partners = self.rng.choice(np.array(list(sizes)), n, p=shares / shares.sum()) - 1
        # Weighted draw without replacement: the largest of log weight + Gumbel noise.
        score = np.log(table[:, 0]) + self.rng.gumbel(size=(n, len(partners)))
        if tied is not None:
            score[:, partners.index(tied)] = np.inf
        rank = np.argsort(np.argsort(-score, axis=1), axis=1)
        amount = self.rng.uniform(table[:, 1], table[:, 2], (n, len(partners))) * (rank < n_partners[:, None])
        low, high = family["share"]
        share = np.clip(100.0 - amount.sum(axis=1), low, high)
        amount *= ((100.0 - share) / amount.sum(axis=1))[:, None]
        rows = np.zeros((n, len(self.elements)))
        rows[:, [self.position[p] for p in partners]] = amount
        rows[:, self.position[base]] = share
        if tied is not None:
            pair = [self.position[base], self.position[tied]]
            rows[:, pair] = rows[:, pair].mean(axis=1, keepdims=True)
        return rows

    def _directions(self, mothers: FloatArray, fixed: tuple[str, str] | None) -> FloatArray:
        """One exchange of two present elements per series, at% per step, [n, E]."""
        score = np.where(mothers > 0, self.rng.random(mothers.shape), -1.0)
        if fixed is not None:  # the tied pair moves together
            score[:, [self.position[e] for e in fixed]] = -1.0
        order = np.argsort(-score, axis=1)
        step = self.rng.choice([0.5, 1.0, 2.0, 3.0], len(mothers), p=[0.2, 0.35, 0.3, 0.15])
        direction = np.zeros_like(mothers)
        rows = np.arange(len(mothers))
        enough = score[rows, order[:, 1]] > 0
        direction[rows, order[:, 0]] = np.where(enough, step, 0.0)
        direction[rows, order[:, 1]] = np.where(enough, -step, 0.0)
        return direction

    # Crystalline multicomponent alloys, and melt-spun ribbons.

    def _crystals(self) -> tuple[FloatArray, FloatArray]:
        blocks = []
        for n, names, (least, most) in self.spec["crystalline"]:
            pool = self._crystal_pool(names, least, most, 8 * n)
            p = self.world.p_feasible(pool)
            blocks.append(pool[np.argsort(p >= 0.3, kind="stable")[:n]])
        at_frac = np.vstack(blocks)
        rows = _Rows(at_frac, np.repeat(self._new_labs(-(-len(at_frac) // 3)), 3)[: len(at_frac)])
        measured = np.zeros((len(rows), len(self.keys)), dtype=bool)
        for key, count in self.spec["crystalline_measured"].items():
            if key in self.keys:
                measured[self.rng.permutation(len(rows))[:count], self.keys.index(key)] = True
        return at_frac, np.where(measured, self._measure(rows), np.nan)

    def _crystal_pool(self, names: Sequence[str], least: int, most: int, n: int) -> FloatArray:
        """Nearly equiatomic alloys of some of the named elements; one element may be a minor one."""
        index = np.array([self.position[e] for e in names if e in self.position])
        weight = np.linspace(2.0, 0.0, len(index)) + self.rng.gumbel(size=(n, len(index)))
        rank = np.argsort(np.argsort(-weight, axis=1), axis=1)
        size = self.rng.integers(least, most + 1, n)[:, None]
        ratio = np.where(rank == size - 1, self.rng.choice([0.1, 0.3, 0.5, 0.75, 1.0], (n, 1)), 1.0)
        rows = np.zeros((n, len(self.elements)))
        rows[:, index] = ratio * (rank < size)
        rows = np.round(100.0 * rows / rows.sum(axis=1, keepdims=True), 1)
        normalised: FloatArray = rows / rows.sum(axis=1, keepdims=True)
        return normalised

    def _ribbons(self) -> tuple[FloatArray, list[str]]:
        """Binary and ternary ribbons: glassy as a ribbon (RMG) or not even that (CRA)."""
        spec = self.spec["ribbons"]
        blocks: list[FloatArray] = []
        labels: list[str] = []
        pool = {size: self._ribbon_pool(size, 30_000 if size == 3 else 8_000) for size in (2, 3)}
        for label, n in spec["rows"].items():
            n_binary = round(spec["binary_share"][label] * n)
            for size, count in ((2, n_binary), (3, n - n_binary)):
                at_frac, ribbon = pool[size]
                chosen = at_frac[ribbon == (label == "RMG")][:count]
                if len(chosen) < count:
                    raise ValueError(f"synthetic ribbons: only {len(chosen)} of {count} {label} with {size} elements")
                blocks.append(chosen)
                labels += [label] * count
        return np.vstack(blocks), labels

    def _ribbon_pool(self, size: int, n: int) -> tuple[FloatArray, NDArray[np.bool_]]:
        """Random alloys of the libraries' systems, and whether they vitrify as a ribbon."""
        systems = [s for s in self.spec["ribbons"]["systems"] if all(e in self.position for e in s[1:])]
        weight = np.array([s[0] for s in systems], dtype=np.float64)
        which = self.rng.choice(len(systems), n, p=weight / weight.sum())
        index = np.array([[self.position[e] for e in s[1:]] for s in systems])[which]
        index = self.rng.permuted(index, axis=1)[:, :size]
        amounts = np.maximum(np.round(100.0 * self.rng.dirichlet(np.ones(size), n)), 2.0)
        rows = np.zeros((n, len(self.elements)))
        rows[np.arange(n)[:, None], index] = amounts / amounts.sum(axis=1, keepdims=True)
        rows = np.round(rows, 3)
        rows /= rows.sum(axis=1, keepdims=True)
        latent = self._log_dmax(rows) + RIBBON_NOISE * self.rng.standard_normal(n)
        uncast = latent < np.log(RIBBON_TOP_MM)
        return rows[uncast], latent[uncast] > np.log(RIBBON_MM)

    # Measuring.

    def _new_labs(self, n: int) -> NDArray[np.int64]:
        self.next_lab += n
        return np.arange(self.next_lab - n, self.next_lab)

    def _log_dmax(self, at_frac: FloatArray) -> FloatArray:
        """True critical diameter, ln mm, [N]."""
        log_dmax: FloatArray = np.log(self.world.truth(at_frac)[:, self.keys.index("dmax_mm")])
        return log_dmax

    def _measure(self, rows: _Rows) -> FloatArray:
        """One laboratory's values of every property, [N, P]."""
        truth = self.world.truth(rows.at_frac)
        noise = self.rng.standard_normal(truth.shape)
        out = np.empty_like(truth)
        errors = {}
        for i, key in enumerate(self.keys):
            errors[key] = NOISE[key] * noise[:, i] + LAB[key] * self.offsets[rows.lab, i]
            if key == "tx_k":  # Tx is read from the same curve as Tg
                errors[key] += errors.get("tg_k", 0.0)
            out[:, i] = truth[:, i] * np.exp(errors[key]) if key in RELATIVE else truth[:, i] + errors[key]
        brittle = self.rng.random(len(rows)) < BRITTLE_SHARE
        for i, key in enumerate(self.keys):
            if key == "elongation_pct":
                out[:, i] = np.where(brittle, 0.0, np.minimum(out[:, i], LARGEST_STRAIN))
            if key == "dmax_mm":
                out[:, i] = _rod(out[:, i])
            out[:, i] = np.round(out[:, i], 1 if key in ("dmax_mm", "youngs_modulus_gpa", "elongation_pct") else 0)
        return out


def _rod(diameter: FloatArray) -> FloatArray:
    """Diameters as reported: tenths below 2 mm, halves below 6 mm, else whole millimetres."""
    step = np.where(diameter < 2.0, 0.1, np.where(diameter < 6.0, 0.5, 1.0))
    return np.clip(np.round(diameter / step) * step, 0.1, LARGEST_DMAX)


def _rounded(at_pct: FloatArray, step: FloatArray) -> FloatArray:
    """Amounts in whole steps, at least one step where the element is present, [N, E]."""
    rounded = np.round(at_pct / step[:, None]) * step[:, None]
    result: FloatArray = np.where(at_pct > 0, np.maximum(rounded, step[:, None]), np.where(at_pct < 0, at_pct, 0.0))
    return result
