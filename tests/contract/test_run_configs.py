from pathlib import Path

import pytest

from aimat_ray.config import load_settings

FOLDER = Path(__file__).parents[2] / "tune_configs"


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_file_fits_the_settings_and_says_what_it_asks(path: Path) -> None:
    load_settings(path, {})
    assert path.read_text().startswith("# Question: ")
