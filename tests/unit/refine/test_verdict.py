"""Every condition of the verdict refuses on its own."""

import pytest

from aimat_ray.config import VerdictSettings
from aimat_ray.refine.records import Change, Comparison
from aimat_ray.refine.verdict import judge

GOOD = Comparison(
    version="default-b", property_key="tg_k", n=400, n_systems=120, rmse=Change(before=30.0, after=20.0), gain=0.5556,
    p_value=0.001, variance=Change(before=9.0, after=4.0), coverage=0.91,
    others={"tx_k": Change(before=20.0, after=20.3)},
)  # fmt: skip


def test_all_conditions_met():
    verdict = judge(GOOD, VerdictSettings(), max_attempts=3)
    assert verdict.accepted and all(verdict.checks.values()) and len(verdict.reasons) == len(verdict.checks)


@pytest.mark.parametrize(
    ("change", "check"),
    [
        ({"gain": 0.04}, "error_falls"),
        ({"gain": -0.2}, "error_falls"),
        ({"p_value": 0.02}, "not_by_chance"),  # 0.05 shared by three attempts: 0.0167
        ({"variance": Change(before=4.0, after=4.0)}, "variance_falls"),
        ({"others": {"tx_k": Change(before=20.0, after=20.5)}}, "others_hold"),
        ({"coverage": 0.80}, "coverage_in_band"),
        ({"coverage": 0.99}, "coverage_in_band"),
        ({"gain": float("nan")}, "error_falls"),
        ({"p_value": float("nan")}, "not_by_chance"),
        ({"coverage": float("nan")}, "coverage_in_band"),
    ],
)
def test_one_condition_missed_refuses(change, check):
    verdict = judge(GOOD.model_copy(update=change), VerdictSettings(), max_attempts=3)
    assert not verdict.accepted
    assert [name for name, held in verdict.checks.items() if not held] == [check]


def test_a_single_attempt_may_spend_the_whole_risk():
    assert judge(GOOD.model_copy(update={"p_value": 0.02}), VerdictSettings(), max_attempts=1).accepted
