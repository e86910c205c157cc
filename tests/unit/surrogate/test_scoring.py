from __future__ import annotations

import json

import numpy as np
import pytest

from aimat_ray.surrogate.scoring import score_recipe


@pytest.fixture(scope="module")
def scores(alloys, problem):
    return {kind: score_recipe("judge", alloys, problem, kind, seed=0) for kind in ("system", "random")}


def test_every_score_has_split_count_and_interval(scores, problem):
    document = scores["system"]
    assert (document["split"], document["seed"]) == ("system", 0)
    assert set(document["targets"]) == set(problem.property_keys)
    for target in document["targets"].values():
        assert target["lower"] <= target["r2"] <= target["upper"]
        assert target["n"] >= target["n_systems"] > 1
        assert 0 <= target["coverage_90"] <= 1
        assert sum(band["n"] for band in target["bands"]) == target["n"]
    json.dumps(document)


def test_feasible_and_other_rows_are_scored_apart(scores):
    elongation = scores["system"]["targets"]["elongation_pct"]
    assert elongation["feasible"]["n"] + elongation["rest"]["n"] == elongation["n"]
    assert scores["system"]["targets"]["tg_k"]["rest"] == {}


def test_unseen_systems_are_harder_than_random_folds(scores):
    errors = {kind: scores[kind]["targets"]["youngs_modulus_gpa"]["rmse"] for kind in scores}
    assert errors["system"] > errors["random"]


def test_the_class_is_scored_by_number_of_elements(scores):
    classifier = scores["system"]["classifier"]
    assert classifier["all"]["n"] == classifier["four_or_more"]["n"] + classifier["up_to_three"]["n"]
    assert 0.5 < classifier["all"]["auc"] <= 1


def test_the_same_seed_gives_the_same_scores(scores, alloys, problem):
    again = score_recipe("judge", alloys, problem, "system", seed=0)
    assert json.dumps(again) == json.dumps(scores["system"])


def test_coverage_is_near_its_nominal_level(scores):
    shares = [t["coverage_90"] for t in scores["system"]["targets"].values()]
    assert 0.8 < float(np.mean(shares)) <= 1.0
