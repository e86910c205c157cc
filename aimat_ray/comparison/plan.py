"""Which cells a comparison consists of."""

from __future__ import annotations

from collections.abc import Sequence

from aimat_ray.comparison.candidates import CLASSIFIERS, FEATURES, REGRESSORS, Candidate, Features
from aimat_ray.comparison.cells import Cell, Kind
from aimat_ray.data.splits import SplitKind
from aimat_ray.errors import ConfigError

SPLITS: tuple[SplitKind, ...] = ("system", "random")
BUNDLES = ("default", "judge", "paper")
SEEDS = 3
# Inputs that are compared with every seed; the others with the first one, which is enough to rank inputs.
_REPEATED: Features = "both"
_QUICK_REGRESSORS = ("ridge", "knn", "svr")
_QUICK_CLASSIFIERS = ("logistic_regression", "lda", "gaussian_nb")


def full_plan(n_seeds: int = SEEDS) -> tuple[Cell, ...]:
    """Every family on every kind of inputs and folds, and the bundles; the first seed of everything comes first."""
    cells = []
    for seed in range(n_seeds):
        cells += [Cell("bundle", name, "both", split, seed) for name in BUNDLES for split in SPLITS]
        kinds: tuple[tuple[Kind, dict[str, Candidate]], ...] = (("regressor", REGRESSORS), ("classifier", CLASSIFIERS))
        for kind, table in kinds:
            for name, candidate in table.items():
                repeated = [f for f in candidate.features if seed == 0 or f == _REPEATED]
                cells += [Cell(kind, name, features, split, seed) for features in repeated for split in SPLITS]
    return tuple(cells)


def quick_plan(n_seeds: int = SEEDS) -> tuple[Cell, ...]:
    """A few families on one seed; of the bundle that is used, every seed on unseen systems, where it is judged."""
    cells = [Cell("bundle", "default", "both", "system", seed) for seed in range(n_seeds)]
    cells.append(Cell("bundle", "default", "both", "random", 0))
    cells += [Cell("bundle", name, "both", "system", 0) for name in BUNDLES if name != "default"]
    cells += [Cell("regressor", name, "both", split, 0) for name in _QUICK_REGRESSORS for split in SPLITS]
    cells += [Cell("classifier", name, "both", split, 0) for name in _QUICK_CLASSIFIERS for split in SPLITS]
    return tuple(cells)


def only(cells: Sequence[Cell], models: Sequence[str]) -> tuple[Cell, ...]:
    """The cells of some models.

    Raises:
        ConfigError: A model that no cell has.
    """
    known = sorted({cell.model for cell in cells})
    for name in models:
        if name not in known:
            raise ConfigError(f"unknown model {name!r}; this comparison has: {', '.join(known)}")
    return tuple(cell for cell in cells if cell.model in models)


def features_of(label: str) -> str:
    """Inputs named in a model's label ("both" for a bundle)."""
    features = label.rpartition("/")[2]
    return features if features in FEATURES else "both"
