"""Pictures that stand alone."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from aimat_ray.errors import RunError
from aimat_ray.report.figures import SuccessCurve, pool_figure, success_vs_predictions
from aimat_ray.report.svg import COLOURS, DARK
from aimat_ray.report.training_figure import smooth

CURVES = [
    SuccessCurve("policy", [4, 64, 4096], [0.1, 0.5, 0.6], [0.05, 0.4, 0.5], [0.2, 0.6, 0.7], highlight=True),
    SuccessCurve("$greedy <16>", [16, 256, float("nan")], [0.2, 0.4, 0.9]),
]


def rewards() -> np.ndarray:
    # 3 of 10 within 0.4..0.6, 2 of 10 negative
    return np.array([-0.2, -0.1, 0.1, 0.2, 0.3, 0.45, 0.5, 0.55, 0.8, np.nan, 0.9])


def test_pool_figure_is_complete_in_itself(tmp_path: Path) -> None:
    path = pool_figure(rewards(), tmp_path / "new" / "pool.svg")
    root = ElementTree.fromstring(path.read_text())
    assert "10 rewards" in root.attrib["aria-label"]
    assert "30\u00a0% between 0.4 and 0.6" in root.attrib["aria-label"]
    assert "20\u00a0% negative" in root.attrib["aria-label"]
    assert "var(" not in path.read_text()  # drawing programs do not know a page's variables
    assert path.read_text().count("http") == 1  # the namespace, which is a name and is not loaded


def test_pool_figure_is_the_same_twice(tmp_path: Path) -> None:
    first = pool_figure(rewards(), tmp_path / "a.svg").read_bytes()
    assert pool_figure(rewards(), tmp_path / "b.svg").read_bytes() == first


@pytest.mark.parametrize("ending", ["svg", "png", "html"])
def test_success_against_predictions(tmp_path: Path, ending: str) -> None:
    path = success_vs_predictions(CURVES, tmp_path / f"curves.{ending}")
    content = path.read_bytes()
    if ending == "png":
        assert content.startswith(b"\x89PNG")
        return
    text = content.decode()
    assert "policy 60\u00a0% at 4,096 predictions; $greedy &lt;16&gt; 40\u00a0% at 256 predictions" in text
    assert ("prefers-color-scheme:dark" in text) == (ending == "html")
    assert "https://" not in text


@pytest.mark.parametrize("values", [[], [np.nan, np.inf]], ids=["empty", "no finite"])
def test_nothing_to_draw_is_an_error(tmp_path: Path, values: list[float]) -> None:
    with pytest.raises(RunError, match="no reward"):
        pool_figure(values, tmp_path / "pool.svg")
    with pytest.raises(RunError, match="no success rate"):
        success_vs_predictions([SuccessCurve("x", values, values)], tmp_path / "curves.svg")


def test_unknown_ending_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"\.svg, \.png or \.html"):
        pool_figure([0.1], tmp_path / "pool.gif")


def test_one_reward_is_enough(tmp_path: Path) -> None:
    assert pool_figure([0.5, 0.5], tmp_path / "pool.svg").is_file()


def test_colours_can_be_told_apart() -> None:
    """A colour of the light theme stands for its variable in the SVG, so no two may be equal."""
    assert len(set(COLOURS.values())) == len(COLOURS)
    assert set(DARK) == set(COLOURS)


@pytest.mark.parametrize("theme", [COLOURS, DARK], ids=["light", "dark"])
@pytest.mark.parametrize("name", ["ink", "muted", "accent", "warm", "good", "plum"])
def test_text_is_readable(theme: dict[str, str], name: str) -> None:
    """Contrast of at least 4.5 to 1 (WCAG 2 AA for text)."""

    def luminance(colour: str) -> float:
        channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    bright, dim = sorted((luminance(theme[name]), luminance(theme["paper"])), reverse=True)
    assert (bright + 0.05) / (dim + 0.05) >= 4.5


def test_running_mean() -> None:
    assert np.array_equal(smooth(np.arange(5.0)), np.arange(5.0))  # too few rows to smooth
    values = np.arange(40.0)
    values[10] = np.nan
    smoothed = smooth(values)  # windows of 3 rows
    assert smoothed[20] == pytest.approx(20.0)
    assert smoothed[10] == pytest.approx(10.0)  # mean of 9 and 11
    assert smoothed[0] == pytest.approx(0.5)  # mean of 0 and 1
    assert np.isfinite(smoothed).all()
