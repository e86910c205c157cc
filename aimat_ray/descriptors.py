"""Physics descriptors of alloys, computed from composition, the element table and pair enthalpies.

Every descriptor is a smooth function of the fractions wherever the set of elements stays the same, and none
depends on the number of elements as such. Formulas, with c_i the fractions and <v> = sum c_i v_i:

    mean of v               <v>
    mismatch of v           sqrt(<v^2> - <v>^2)            (std)      or that / <v> in %   (relative)
    h_mix                   sum_{i<j} 4 c_i c_j H_ij       H_ij liquid pair enthalpies
    s_mix                   -R sum c_i ln c_i
    mismatch_entropy        hard spheres of the packing radii at packing fraction 0.64, in units of k_B
    omega                   <Tm> s_mix / |h_mix|           limited to OMEGA_LIMIT
    liquidus_ideal          max_i 1 / (1/Tm_i - R ln c_i / dHf_i): ideal solubility of each element in the melt
    local enthalpy of i     sum_j 4 c_j H_ij               how strongly i is bound by what surrounds it

Missing element values: a mean runs over the elements that have a value, with their fractions renormalised; when no
element of an alloy has one, the plain mean over all elements stands in. Missing pair enthalpies (all pairs with S) drop
out of pair sums and the rest is scaled up to the full pair weight. So no descriptor is ever NaN.

A composition gets the same bits whatever batch it comes in (see `data/blocks.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from aimat_ray.data.blocks import pad_columns, padded_blocks
from aimat_ray.data.elements import ElementTable, load_element_table, load_pair_enthalpies
from aimat_ray.errors import CompositionError, ConfigError

FloatArray = NDArray[np.float64]

GAS_CONSTANT = 8.314462618e-3  # kJ/(mol K)
OMEGA_LIMIT = 100.0
LAMBDA_LIMIT = 5.0
PACKING_FRACTION = 0.64
ORDER_TEMPERATURE = 3000.0  # K; softens pair enthalpies of -100 kJ/mol to a factor of 50
STRONG_PAIR = -25.0  # kJ/mol
SMALL_RADIUS, LARGE_RADIUS = 115.0, 170.0  # pm
TINY = 1e-12


class Descriptor(NamedTuple):
    """What a descriptor is: its unit, a one-line description, and its group."""

    unit: str
    description: str
    group: str


class _Weighted(NamedTuple):
    """A descriptor made of one element property."""

    name: str
    column: str
    kind: str  # mean, std, or relative (std / mean in %)
    unit: str
    description: str
    group: str


_WEIGHTED: tuple[_Weighted, ...] = (
    _Weighted("radius_mean", "packing_radius", "mean", "pm", "mean packing radius", "size"),
    _Weighted("size_mismatch", "packing_radius", "relative", "%", "atomic size mismatch delta", "size"),
    _Weighted("covalent_mismatch", "covalent_radius", "relative", "%", "mismatch of covalent radii", "size"),
    _Weighted("volume_mean", "molar_volume", "mean", "cm3/mol", "mean molar volume", "size"),
    _Weighted("volume_mismatch", "molar_volume", "relative", "%", "mismatch of molar volumes", "size"),
    _Weighted("mass_mean", "atomic_mass", "mean", "u", "mean atomic mass", "size"),
    _Weighted("mass_mismatch", "atomic_mass", "relative", "%", "mismatch of atomic masses", "size"),
    _Weighted("en_mean", "en_pauling", "mean", "1", "mean Pauling electronegativity", "electronic"),
    _Weighted("en_mismatch", "en_pauling", "std", "1", "mismatch of Pauling electronegativity", "electronic"),
    _Weighted("en_allen_mean", "en_allen", "mean", "eV", "mean Allen electronegativity", "electronic"),
    _Weighted("en_allen_mismatch", "en_allen", "std", "eV", "mismatch of Allen electronegativity", "electronic"),
    _Weighted("work_function_mean", "en_miedema", "mean", "V", "mean Miedema electronegativity", "electronic"),
    _Weighted("work_function_mismatch", "en_miedema", "std", "V", "its mismatch", "electronic"),
    _Weighted("electron_density_mean", "electron_density_miedema", "mean", "d.u.", "mean n_ws", "electronic"),
    _Weighted("electron_density_mismatch", "electron_density_miedema", "std", "d.u.", "its mismatch", "electronic"),
    _Weighted("vec_mean", "vec", "mean", "1", "valence electrons per atom without f electrons", "electronic"),
    _Weighted("vec_mismatch", "vec", "std", "1", "mismatch of valence electrons", "electronic"),
    _Weighted("vec_f_mean", "vec_with_f", "mean", "1", "valence electrons with 4f of lanthanides", "electronic"),
    _Weighted("valence_s_mean", "valence_s", "mean", "1", "s valence electrons per atom", "electronic"),
    _Weighted("valence_p_mean", "valence_p", "mean", "1", "p valence electrons per atom", "electronic"),
    _Weighted("valence_d_mean", "valence_d", "mean", "1", "d valence electrons per atom", "electronic"),
    _Weighted("ionization_mean", "ionization_energy", "mean", "eV", "mean first ionisation energy", "electronic"),
    _Weighted("polarizability_mean", "polarizability", "mean", "a.u.", "mean polarisability", "electronic"),
    _Weighted("mendeleev_mean", "mendeleev_number", "mean", "1", "mean place on the chemical scale", "electronic"),
    _Weighted("mendeleev_mismatch", "mendeleev_number", "std", "1", "spread on the chemical scale", "electronic"),
    _Weighted("metalloid_fraction", "is_metalloid", "mean", "1", "fraction of B C Si P Ge S", "electronic"),
    _Weighted("rare_earth_fraction", "is_rare_earth", "mean", "1", "fraction of rare earths", "electronic"),
    _Weighted("early_tm_fraction", "is_early_tm", "mean", "1", "fraction of groups 4-6", "electronic"),
    _Weighted("late_tm_fraction", "is_late_tm", "mean", "1", "fraction of groups 7-11", "electronic"),
    _Weighted("melting_mean", "melting_point", "mean", "K", "mean melting point", "thermal"),
    _Weighted("melting_mismatch", "melting_point", "relative", "%", "mismatch of melting points", "thermal"),
    _Weighted("boiling_mean", "boiling_point", "mean", "K", "mean boiling point", "thermal"),
    _Weighted("fusion_heat_mean", "heat_of_fusion", "mean", "kJ/mol", "mean heat of fusion", "thermal"),
    _Weighted("vaporization_heat_mean", "heat_of_vaporization", "mean", "kJ/mol", "its vaporisation", "thermal"),
    _Weighted("cohesive_mean", "cohesive_energy", "mean", "eV", "mean cohesive energy", "thermal"),
    _Weighted("cohesive_mismatch", "cohesive_energy", "relative", "%", "mismatch of cohesive energy", "thermal"),
    _Weighted("heat_capacity_mean", "heat_capacity", "mean", "J/(mol K)", "mean molar heat capacity", "thermal"),
    _Weighted("conductivity_mean", "thermal_conductivity", "mean", "W/(m K)", "mean heat conduction", "thermal"),
    _Weighted("expansion_mean", "thermal_expansion", "mean", "1e-6/K", "mean thermal expansion", "thermal"),
    _Weighted("youngs_mean", "youngs_modulus", "mean", "GPa", "mean Young's modulus", "elastic"),
    _Weighted("youngs_mismatch", "youngs_modulus", "relative", "%", "contrast of Young's moduli", "elastic"),
    _Weighted("bulk_mean", "bulk_modulus_filled", "mean", "GPa", "mean bulk modulus", "elastic"),
    _Weighted("bulk_mismatch", "bulk_modulus_filled", "relative", "%", "contrast of bulk moduli", "elastic"),
    _Weighted("shear_mean", "shear_modulus_filled", "mean", "GPa", "mean shear modulus", "elastic"),
    _Weighted("shear_mismatch", "shear_modulus_filled", "relative", "%", "contrast of shear moduli", "elastic"),
    _Weighted("poisson_mean", "poissons_ratio", "mean", "1", "mean Poisson's ratio", "elastic"),
)
_COMPOSED: dict[str, Descriptor] = {
    "density_estimate": Descriptor("g/cm3", "mean atomic mass / mean molar volume", "size"),
    "radius_ratio": Descriptor("1", "largest / smallest packing radius present", "size"),
    "small_atom_fraction": Descriptor("1", f"fraction of atoms below {SMALL_RADIUS:g} pm", "size"),
    "large_atom_fraction": Descriptor("1", f"fraction of atoms above {LARGE_RADIUS:g} pm", "size"),
    "liquidus_ideal": Descriptor("K", "liquidus of an ideal melt", "thermal"),
    "undercooling_ideal": Descriptor("1", "1 - ideal liquidus / mean melting point", "thermal"),
    "shear_to_bulk": Descriptor("1", "mean shear / mean bulk modulus (low: tough)", "elastic"),
    "misfit_energy": Descriptor("kJ/mol", "2 <G> <V> (size mismatch)^2", "elastic"),
    "h_mix": Descriptor("kJ/mol", "mixing enthalpy of the melt", "mixing"),
    "h_mix_repulsive": Descriptor("kJ/mol", "part of h_mix from pairs with H > 0", "mixing"),
    "s_mix": Descriptor("J/(mol K)", "ideal mixing entropy", "mixing"),
    "mismatch_entropy": Descriptor("k_B", "hard-sphere mismatch entropy", "mixing"),
    "omega": Descriptor("1", f"<Tm> s_mix / |h_mix|, at most {OMEGA_LIMIT:g}", "mixing"),
    "lambda": Descriptor("J/(mol K)", f"s_mix / (size mismatch in %)^2, at most {LAMBDA_LIMIT:g}", "mixing"),
    "g_mix": Descriptor("kJ/mol", "h_mix - <Tm> s_mix", "mixing"),
    "h_over_cohesion": Descriptor("1", "h_mix / mean cohesive energy", "mixing"),
    "pair_spread": Descriptor("kJ/mol", "spread of H_ij over unlike pairs", "short_range"),
    "attractive_pairs": Descriptor("1", "share of unlike pairs with H < 0", "short_range"),
    "strong_pairs": Descriptor("1", f"share of unlike pairs with H < {STRONG_PAIR:g} kJ/mol", "short_range"),
    "local_enthalpy_min": Descriptor("kJ/mol", "local enthalpy of the best bound element", "short_range"),
    "local_enthalpy_spread": Descriptor("kJ/mol", "spread of local enthalpies over atoms", "short_range"),
    "order_tendency": Descriptor("1", "ln of pairs weighted by exp(-H_ij / R 3000 K)", "short_range"),
    "size_chemistry": Descriptor("kJ/mol", "attraction weighted by squared size difference", "short_range"),
    "ionic_share": Descriptor("1", "mean Pauling ionicity 1 - exp(-(chi_i - chi_j)^2 / 4)", "short_range"),
}
DESCRIPTOR_CATALOGUE: dict[str, Descriptor] = {
    w.name: Descriptor(w.unit, w.description, w.group) for w in _WEIGHTED
} | _COMPOSED
PAIR_TERMS = ("h", "repulsive", "h_squared", "attractive", "strong", "boltzmann", "size_chemistry", "ionic")


def descriptor_names(elements: Sequence[str] | None = None) -> tuple[str, ...]:
    """Names of all descriptors, in column order; the same for every set of elements."""
    return tuple(DESCRIPTOR_CATALOGUE)


class Descriptors:
    """Turns compositions into descriptors.

    Args:
        elements: Element of each composition column, [E].
        names: Which descriptors, in which order; all of `DESCRIPTOR_CATALOGUE` by default.

    Raises:
        ConfigError: A name that is not in the catalogue.
    """

    def __init__(self, elements: Sequence[str], names: Sequence[str] | None = None) -> None:
        self.elements = tuple(elements)
        self.names = tuple(DESCRIPTOR_CATALOGUE if names is None else names)
        unknown = [n for n in self.names if n not in DESCRIPTOR_CATALOGUE]
        if unknown:
            raise ConfigError(f"unknown descriptor {unknown[0]!r}; known: {', '.join(DESCRIPTOR_CATALOGUE)}")
        order = list(DESCRIPTOR_CATALOGUE)
        self._selected = None if self.names == tuple(order) else [order.index(n) for n in self.names]
        self._constants = _Constants(load_element_table(self.elements), load_pair_enthalpies(self.elements))

    def transform(self, at_frac: FloatArray) -> FloatArray:
        """Compute the descriptors of a batch.

        Args:
            at_frac: Atomic fractions, [B, E], non-negative, rows summing to 1. Not modified.

        Returns:
            [B, D], finite; the value of a row does not depend on the rest of the batch.

        Raises:
            CompositionError: The array has not one column per element.
        """
        at_frac = np.asarray(at_frac, dtype=np.float64)
        if at_frac.ndim != 2 or at_frac.shape[1] != len(self.elements):
            raise CompositionError(f"compositions: expected shape [B, {len(self.elements)}], got {list(at_frac.shape)}")
        out = np.empty((len(at_frac), len(DESCRIPTOR_CATALOGUE)))
        for where, blocks in padded_blocks(at_frac):
            values = self._constants.evaluate(blocks).reshape(-1, out.shape[1])
            out[where] = values[: where.stop - where.start]
        return out if self._selected is None else out[:, self._selected]


class _Constants:
    """Element constants laid out for one matrix product, and the formulas over its columns."""

    def __init__(self, table: ElementTable, pairs: FloatArray) -> None:
        self.used = tuple(dict.fromkeys(w.column for w in _WEIGHTED))
        raw = np.column_stack([table.column(name) for name in self.used])
        self.present = np.isfinite(raw)
        self.fallback = np.nanmean(raw, axis=0)
        values = np.where(self.present, raw, 0.0)
        self.position = {name: i for i, name in enumerate(self.used)}
        self.radius = table.column("packing_radius")
        self.inverse_melting = 1.0 / table.column("melting_point")
        self.r_over_fusion = GAS_CONSTANT / table.column("heat_of_fusion")
        sizes = [self.radius < SMALL_RADIUS, self.radius > LARGE_RADIUS, self.radius**3 * 1e-6]
        self.paired = np.isfinite(pairs).sum(axis=1) > 1
        if not np.array_equal(np.isfinite(pairs), _known_pairs(self.paired)):
            raise CompositionError("pair enthalpies: an element must have a value with every paired element or none")
        blocks = [values, values**2, self.present, np.column_stack(sizes), self.paired[:, None]]
        blocks += _pair_matrices(np.nan_to_num(pairs), self.radius, table.column("en_pauling"), self.paired)
        matrix = np.hstack([np.asarray(b, dtype=np.float64) for b in blocks])
        self.matrix = pad_columns(matrix)

    def evaluate(self, x: FloatArray) -> FloatArray:
        """Descriptors in catalogue order, [n_blocks, block, D], of zero-padded blocks [n_blocks, block, E]."""
        products = x @ self.matrix
        n = len(self.used)
        total = np.maximum(products[..., 2 * n : 3 * n], TINY)
        known = products[..., 2 * n : 3 * n] > TINY
        mean = np.where(known, products[..., :n] / total, self.fallback)
        square = np.where(known, products[..., n : 2 * n] / total, self.fallback**2)
        std = np.sqrt(np.maximum(square - mean**2, 0.0))
        small, large, cube, paired = np.moveaxis(products[..., 3 * n : 3 * n + 4], -1, 0)
        start, width = 3 * n + 4, len(PAIR_TERMS) * x.shape[-1]
        pairs = products[..., start : start + width].reshape(*x.shape[:-1], len(PAIR_TERMS), x.shape[-1])
        out: dict[str, FloatArray] = {}
        for w in _WEIGHTED:
            i = self.position[w.column]
            if w.kind == "mean":
                out[w.name] = mean[..., i]
            else:
                out[w.name] = std[..., i] if w.kind == "std" else 100.0 * std[..., i] / mean[..., i]
        out["small_atom_fraction"], out["large_atom_fraction"] = small, large
        self._simple(x, out)
        self._mixing(x, out, mean[..., self.position["packing_radius"]], square, cube)
        self._pairs(x, out, pairs, paired)
        return np.stack([out[name] for name in DESCRIPTOR_CATALOGUE], axis=-1)

    def _simple(self, x: FloatArray, out: dict[str, FloatArray]) -> None:
        """Extremes over the present elements and ratios of means."""
        present = x > 0.0
        largest = np.where(present, self.radius, 0.0).max(axis=-1)
        smallest = np.where(present, self.radius, np.inf).min(axis=-1)
        out["radius_ratio"] = np.where(np.isfinite(smallest), largest / smallest, 1.0)
        log_x = np.log(np.where(present, x, 1.0))
        # The sum is never positive; adding zero turns -0.0 into 0.0.
        out["s_mix"] = -1e3 * GAS_CONSTANT * np.einsum("...e,...e->...", x, log_x) + 0.0
        solubility = 1.0 / (self.inverse_melting - log_x * self.r_over_fusion)
        out["liquidus_ideal"] = np.where(present, solubility, 0.0).max(axis=-1)
        out["undercooling_ideal"] = 1.0 - out["liquidus_ideal"] / out["melting_mean"]
        out["density_estimate"] = out["mass_mean"] / out["volume_mean"]
        out["shear_to_bulk"] = out["shear_mean"] / out["bulk_mean"]
        # GPa cm3/mol is kJ/mol; delta is in %.
        out["misfit_energy"] = 2e-4 * out["shear_mean"] * out["volume_mean"] * out["size_mismatch"] ** 2

    def _mixing(
        self, x: FloatArray, out: dict[str, FloatArray], m1: FloatArray, square: FloatArray, cube: FloatArray
    ) -> None:
        """Mismatch entropy (Mansoori et al. 1971) from the first three moments of the diameter, and S over delta."""
        m1 = 1e-2 * m1
        m2 = 1e-4 * square[..., self.position["packing_radius"]]
        m3 = np.maximum(cube, TINY)
        zeta = 1.0 / (1.0 - PACKING_FRACTION)
        y1 = (m3 - m1 * m2) / m3
        y2 = m2 / m3**2 * (m1 * m3 - m2**2)
        y3 = m2**3 / m3**2
        rest = 0.5 * (zeta - 1.0) * (zeta - 3.0) + np.log(zeta)
        out["mismatch_entropy"] = 1.5 * (zeta**2 - 1) * y1 + 1.5 * (zeta - 1) ** 2 * y2 - rest * (1.0 - y3)
        mismatch = np.maximum(out["size_mismatch"], 1e-3)
        out["lambda"] = np.minimum(out["s_mix"] / mismatch**2, LAMBDA_LIMIT)

    def _pairs(self, x: FloatArray, out: dict[str, FloatArray], pairs: FloatArray, paired: FloatArray) -> None:
        """Sums over unlike pairs; `pairs` holds sum_j M_ij c_j per term, [n_blocks, block, term, E]."""
        # Unlike pair weight 2 sum_{i<j} c_i c_j, over all pairs and over those with a known enthalpy.
        full = np.maximum(1.0 - np.einsum("...e,...e->...", x, x), 0.0)
        known = np.maximum(paired**2 - np.einsum("...e,...e,e->...", x, x, self.paired * 1.0), 0.0)
        unlike = np.maximum(known, TINY)
        scale = np.where(known > TINY, full / unlike, 0.0)
        sums = np.einsum("...e,...te->...t", x, pairs)
        term = {name: sums[..., i] for i, name in enumerate(PAIR_TERMS)}
        h_mix = 2.0 * term["h"] * scale
        out["h_mix"] = h_mix
        out["h_mix_repulsive"] = 2.0 * term["repulsive"] * scale
        formation = out["melting_mean"] * out["s_mix"] * 1e-3
        out["omega"] = np.minimum(formation / np.maximum(np.abs(h_mix), 1e-3), OMEGA_LIMIT)
        out["g_mix"] = h_mix - formation
        out["h_over_cohesion"] = h_mix / (96.485 * out["cohesive_mean"])
        mean = term["h"] / unlike
        out["pair_spread"] = np.sqrt(np.maximum(term["h_squared"] / unlike - mean**2, 0.0))
        out["attractive_pairs"] = term["attractive"] / unlike
        out["strong_pairs"] = term["strong"] / unlike
        local = 4.0 * pairs[..., 0, :]
        out["local_enthalpy_min"] = np.where(x > 0.0, local, 0.0).min(axis=-1)
        spread = np.einsum("...e,...e,...e->...", x, local, local) - (4.0 * term["h"]) ** 2
        out["local_enthalpy_spread"] = np.sqrt(np.maximum(spread, 0.0))
        # Like pairs and pairs without a value have weight exp(0) = 1.
        out["order_tendency"] = np.log1p(term["boltzmann"])
        out["size_chemistry"] = 2.0 * term["size_chemistry"] * scale
        out["ionic_share"] = term["ionic"] / np.maximum(full, TINY)


def _known_pairs(paired: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pairs of two elements that have values, and the diagonal."""
    known: NDArray[np.bool_] = np.outer(paired, paired) | np.eye(len(paired), dtype=bool)
    return known


def _pair_matrices(h: FloatArray, radius: FloatArray, chi: FloatArray, paired: NDArray[np.bool_]) -> list[FloatArray]:
    """One [E, E] matrix per pair term, zero on the diagonal and for pairs without a value."""
    known = _known_pairs(paired) & ~np.eye(len(h), dtype=bool)
    attraction = np.maximum(-h, 0.0)
    size = (radius[:, None] - radius) / (0.5 * (radius[:, None] + radius))
    matrices = {
        "h": h,
        "repulsive": np.maximum(h, 0.0),
        "h_squared": h**2,
        "attractive": (h < 0.0) * 1.0,
        "strong": (h < STRONG_PAIR) * 1.0,
        "boltzmann": np.exp(-h / (GAS_CONSTANT * ORDER_TEMPERATURE)) - 1.0,
        "size_chemistry": attraction * size**2,
    }
    ionic = 1.0 - np.exp(-0.25 * (chi[:, None] - chi) ** 2)
    return [matrices[name] * known for name in PAIR_TERMS if name != "ionic"] + [ionic]
