import numpy as np
import pytest

from aimat_ray.config import DesignSettings, load_settings
from aimat_ray.errors import AimatError, ConfigError, ProblemError
from aimat_ray.problem import load_problem


def test_builtin_problem_has_the_published_axes() -> None:
    problem = load_problem()
    assert (len(problem.elements), len(problem.property_keys), len(problem.bases)) == (52, 7, 35)
    assert problem.quantity_keys[-1] == "trg"


def test_derived_quantity_is_the_ratio_of_its_properties() -> None:
    problem = load_problem()
    values = np.full((1, 7), 2.0)
    values[0, 0], values[0, 2] = 600.0, 1000.0  # Tg, Tl
    assert problem.with_derived(values)[0, -1] == 0.6


@pytest.mark.parametrize(
    ("base", "word"), [("S", "left out"), ("P", "left out"), ("Xx", "not a known element"), ("Cr", "no window")]
)
def test_unusable_bases_are_refused_with_the_reason(base: str, word: str) -> None:
    with pytest.raises(ProblemError, match=word):
        load_problem().check_base(base)


def test_unknown_problem_is_refused() -> None:
    with pytest.raises(ProblemError, match="neither built in"):
        load_problem("no-such-problem")


def test_overrides_reach_nested_settings() -> None:
    settings = load_settings(None, {"agent.gamma": 0.5, "env.reward.kind": "paper"})
    assert (settings.agent.gamma, settings.env.reward.kind) == (0.5, "paper")


@pytest.mark.parametrize(
    "overrides",
    [{"agent.gama": 0.9}, {"nonsense": 1}, {"agent.gamma": 2.0}, {"steps": 0}, {"base": "Zr", "base.deeper": 1}],
    ids=["misspelt", "unknown", "out-of-range", "no-steps", "value-as-group"],
)
def test_bad_settings_are_refused(overrides: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        load_settings(None, overrides)


def test_settings_survive_yaml(tmp_path) -> None:
    import yaml

    path = tmp_path / "settings.yaml"
    path.write_text(yaml.safe_dump(DesignSettings(seed=7).model_dump(mode="json")))
    assert load_settings(path, {}) == DesignSettings(seed=7)


def test_errors_survive_pickling() -> None:
    import pickle

    def subclasses(cls: type) -> list[type]:
        return [cls, *(s for c in cls.__subclasses__() for s in subclasses(c))]

    for cls in subclasses(AimatError):
        copy = pickle.loads(pickle.dumps(cls("what came, what was expected")))
        assert (type(copy), copy.message, copy.exit_code) == (cls, "what came, what was expected", cls.exit_code)
