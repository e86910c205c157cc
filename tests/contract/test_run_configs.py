from pathlib import Path

import pytest
import yaml

from aimat_ray.config import load_settings

FOLDER = Path(__file__).parents[2] / "tune_configs"
# Files that name bases are sweeps (tests/unit/sweep/test_sweep_settings.py), those that name methods contests
# (tests/unit/contest/test_contest_settings.py).
RUNS = sorted(
    path for path in FOLDER.glob("*.yaml") if not {"bases", "methods"} & set(yaml.safe_load(path.read_text()))
)


@pytest.mark.parametrize("path", RUNS, ids=lambda path: path.stem)
def test_every_file_fits_the_settings_and_says_what_it_asks(path: Path) -> None:
    load_settings(path, {})
    assert path.read_text().startswith("# Question: ")
