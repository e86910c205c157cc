"""The offline adviser finds what errors follow, and stays silent where they follow nothing."""

import numpy as np
import pytest
from advice import CANDIDATES, question

from aimat_ray.refine.advisers import AdviceError, NoAdviser
from aimat_ray.refine.advisers.statistical import StatisticalAdviser, binned, explained, predicted

ADVISER = StatisticalAdviser()


@pytest.mark.parametrize("name", ["h_mix", "radius_ratio"])
def test_it_names_the_descriptor_that_the_error_follows(name):
    assert ADVISER.propose(question({name: 1.5})).descriptors[0] == name


def test_it_adds_a_second_one_that_still_helps():
    assert set(ADVISER.propose(question({"h_mix": 2.0, "s_mix": 1.2})).descriptors) == {"h_mix", "s_mix"}


def test_the_same_question_gets_the_same_answer():
    assert ADVISER.propose(question({"h_mix": 1.5})) == ADVISER.propose(question({"h_mix": 1.5}))


def test_after_a_refusal_it_proposes_another_lead():
    proposal = ADVISER.propose(question({"h_mix": 2.0, "s_mix": 2.0}, tried=(("h_mix", "s_mix"),)))
    assert proposal.descriptors[0] != "h_mix"


def test_it_mostly_says_nothing_about_noise():
    silent = 0
    for seed in range(20):
        try:
            ADVISER.propose(question(seed=seed))
        except AdviceError as error:
            assert error.final and "follows no candidate" in error.message
            silent += 1
    assert silent >= 17  # 5 % of 20, and some luck; the verdict tests what is proposed


def test_few_rows_are_no_basis():
    few = question({"h_mix": 2.0})
    few.residual[30:] = np.nan
    with pytest.raises(AdviceError, match="only 30 measured rows"):
        ADVISER.propose(few)


def test_a_share_is_measured_on_systems_that_were_not_seen():
    q = question({"h_mix": 3.0}, noise=0.1)
    x = q.values[:, CANDIDATES.index("h_mix")]
    assert explained(binned(x), q.residual, q.fold) > 0.8
    assert explained(binned(np.random.default_rng(0).standard_normal(x.shape)), q.residual, q.fold) < 0.05


def test_a_bin_is_averaged_over_the_other_folds_only():
    # Two bins of 40 rows, errors +1 and -1. Each fold sees the 20 rows of the other one: 20 / (20 + 10) = 2/3.
    bins, fold = np.repeat([0, 1], 40), np.tile([0, 1], 40)
    y = np.repeat([1.0, -1.0], 40)
    np.testing.assert_allclose(predicted(bins, y, fold), y * 2 / 3)
    assert explained(bins, y, fold) == pytest.approx(1 - 1 / 9)
    lone = np.where(fold == 0, 1.0, 0.0)  # what only fold 0 has, nobody can predict for it
    np.testing.assert_allclose(predicted(bins, lone, fold)[fold == 0], 0.0)


def test_no_adviser_proposes_nothing():
    with pytest.raises(AdviceError, match="only watches"):
        NoAdviser().propose(question({"h_mix": 2.0}))
