"""Writes a run directory made of clearly invented numbers."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from aimat_ray.problem import DesignProblem

CHECKSUM = "f" * 64
MakeRun = Callable[..., Path]


def write(folder: Path, name: str, document: Any) -> None:
    path = folder / name
    if document is None:
        return
    if isinstance(document, str | bytes):
        path.write_bytes(document.encode() if isinstance(document, str) else document)
    elif name.endswith(".json"):
        path.write_text(json.dumps(document))
    elif name.endswith(".parquet"):
        pd.DataFrame(document).to_parquet(path)
    else:
        with path.open("w", newline="") as stream:
            writer = csv.DictWriter(stream, list(document[0]))
            writer.writeheader()
            writer.writerows(document)


def whole_run(problem: DesignProblem) -> dict[str, Any]:
    return {
        "run__json": run_document(),
        "settings__yaml": "base: Zr\nsteps: 12345\n",
        "metrics__parquet": metrics(),
        "warnings__json": [
            {
                "env_steps": 6000,
                "signature": "mode_collapse",
                "message": "only 11% differ",
                "value": 0.11,
                "threshold": 0.2,
            }
        ],
        "evaluation__json": evaluation(),
        "candidates__csv": candidates(problem),
        "pool__json": {
            "n_transitions": 1234,
            "n_compositions": 321,
            "max_abs_residual": 0.0,
            "share_measured": {"dmax_mm": 0.8, "elongation_pct": 0.066},
            "reward": {"mean": 0.111, "p5": -0.2, "p50": 0.1, "p95": 0.5, "share_04_06": 0.2, "share_negative": 0.3},
        },
    }


def run_document() -> dict[str, Any]:
    return {
        "run_id": "zr-0123456789",
        "base": "Zr",
        "created": "2026-01-02T03:04:05+00:00",
        "seed": 7,
        "settings": {"base": "Zr", "steps": 12345},
        "versions": {"python": "3.11.0", "aimat_ray": "0.0.0"},
        "data": {"name": "invented", "checksum": CHECKSUM, "synthetic": False},
        "surrogate": {"name": "default", "version": "default-aaaa"},
        "judge": {"name": "judge", "version": "judge-bbbb"},
        "goal": {
            "name": "glass",
            "title": "castable and strong",
            "properties": ["dmax_mm", "yield_strength_mpa"],
            "thresholds": [
                {"quantity": "dmax_mm", "at_least": 6.0, "at_most": None, "n_rows": 40, "source": "base"},
                {"quantity": "yield_strength_mpa", "at_least": 1800, "at_most": None, "n_rows": 4,
                 "source": "group:early_transition"},
            ],
        },
        "cleaning": {
            "applied": True,
            "actions": [
                {"rule": "celsius", "table": "regression", "source_rows": [3, 5], "action": "values blanked",
                 "detail": "Tg looks like Celsius", "columns": ["tg_k"], "count": 2},
            ],
        },
    }  # fmt: skip


def evaluation() -> dict[str, Any]:
    def rate(mean: float, predictions: float) -> dict[str, float]:
        return {"mean": mean, "lower": mean - 0.05, "upper": mean + 0.05, "predictions": predictions, "episodes": 200}

    return {
        "base": "Zr",
        "data": {"name": "invented", "checksum": CHECKSUM, "synthetic": False},
        "surrogate_version": "default-aaaa",
        "train": {"env_steps": 12000, "updates": 750, "seconds": 61.0, "env_steps_per_s": 197.0},
        "evaluation": {
            "mode": "simplex",
            "method": "policy",
            "episodes": 200,
            "seeds": 2,
            "sr_legal": 0.99,
            "sr_cls": 0.97,
            "sr80": {"dmax_mm": 0.4, "yield_strength_mpa": 0.5},
            "sr_goal": rate(0.5, 40),
            "sr_goal_lookahead": rate(0.7, 400),
            "controls": {
                "zero_action": rate(0.05, 1),
                "random": rate(0.2, 110),
                "local_search": rate(0.4, 80),
                "greedy_16": rate(0.69, 700),
                "archive_walk": rate(0.62, 30),
                "ceiling": rate(0.8, 5400),
            },
            "confirmed_share": 0.2,
            "confirmed": {"mean": 0.2, "lower": 0.13, "upper": 0.29},
            "ledger": {"legal": 198, "feasible": 190, "thresholds": 105, "goal": 100, "in_domain": 60, "confirmed": 15,
                       "new": 12, "distinct": 9, "true": None},
            "notes": ["The archive was not rebuilt."],
        },
    }  # fmt: skip


def metrics(n: int = 80) -> dict[str, Any]:
    rng = np.random.default_rng(1)
    t = np.linspace(0, 1, n)

    def noisy(start: float, end: float, noise: float = 0.05) -> np.ndarray:
        return start + (end - start) * t + noise * rng.standard_normal(n)

    return {
        "iteration": np.arange(n),
        "env_steps": (150 * (1 + np.arange(n))),
        "updates": 10 * np.arange(n),
        "seconds": np.linspace(1, 61, n),
        "episode_return_mean": noisy(-2, 2.5),
        "goal_share": np.clip(noisy(0.1, 0.6), 0, 1),
        "infeasible_share": np.clip(noisy(0.4, 0.1), 0, 1),
        "reward_feasibility": noisy(-0.1, -0.02, 0.01),
        "reward_progress": noisy(0.02, 0.1, 0.01),
        "reward_goal": noisy(0.0, 0.08, 0.01),
        "reward_penalty": noisy(-0.1, -0.03, 0.01),
        "q_mean": noisy(0, 1.5),
        "distinct_share": np.clip(noisy(1, 0.3), 0, 1),
        "in_domain_share": np.clip(noisy(0.6, 0.8), 0, 1),
        "surrogate_version": ["default-aaaa"] * (n // 2) + ["default-cccc"] * (n - n // 2),
    }


def candidates(problem: DesignProblem, n: int = 12) -> list[dict[str, Any]]:
    rng = np.random.default_rng(2)
    rows = []
    for i in range(n):
        zr, cu, al = 60 - i, 20 + 0.5 * i, 10.0
        row: dict[str, Any] = {
            "rank": i + 1,
            "formula": f"Zr{zr}Cu{cu:g}Al{al:g}Ni{100 - zr - cu - al:g}",
            "base": "Zr",
            "p_bmg": round(0.99 - 0.01 * i, 3),
        }
        centre = (680.0, 740.0, 1120.0, 9.0, 1900.0, 95.0, 2.0)
        for spec, middle in zip(problem.properties, centre, strict=True):
            value = middle * rng.lognormal(0, 0.08)
            row |= {spec.key: value, f"{spec.key}_lower": 0.75 * value, f"{spec.key}_upper": 1.3 * value}
            row |= {f"judge_{spec.key}": 0.95 * value, f"nearest_{spec.key}": "" if rng.random() < 0.4 else 0.9 * value}
        row |= {
            "trg": 0.6,
            "in_domain": i % 3 != 2,
            "domain_reason": "too_far" if i % 3 == 2 else "inside",
            "judge_p_bmg": 0.9 - 0.05 * i,
            "confirmed": i < 5 and i % 3 != 2,
            "new": True,
            "confirmed_margin": 0.1 - 0.02 * i,
            "nearest_formula": "Zr58Cu22Al10Ni10",
            "nearest_distance_at_pct": 1.5 + i,
            "nearest_class": "BMG",
            "steps": 10 + i,
            "cluster": i % 2,
            "cluster_centre": i in (1, 6),
            "method": "policy" if i % 4 else "greedy_16",
            "surrogate_version": "default-aaaa",
            "judge_version": "judge-bbbb",
            "run_id": "zr-0123456789",
            "synthetic": False,
        }
        rows.append(row)
    return rows
