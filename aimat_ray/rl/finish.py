"""After training: strict evaluation, the document that others rely on, and the candidates."""

from __future__ import annotations

from typing import Any

from aimat_ray.env.walk import WalkState
from aimat_ray.rl.candidates import write_candidates
from aimat_ray.rl.curves import success_curves
from aimat_ray.rl.evaluate import ceiling_control, episode_rows, evaluate, evaluation_document, goal_walks
from aimat_ray.rl.forms import FORMS, POLICY
from aimat_ray.rl.policy import Policy
from aimat_ray.rl.prepare import Say, Workbench
from aimat_ray.rl.run_dir import RunDirectory
from aimat_ray.rl.run_record import data_document, goals_document
from aimat_ray.search.archive import Archive


def finish_run(
    bench: Workbench,
    run: RunDirectory,
    policy: Policy | None,
    train: dict[str, Any] | None,
    archive: Archive | None,
    say: Say,
    main: str = POLICY,
    found: dict[str, WalkState] | None = None,
) -> dict[str, Any]:
    """Evaluate a run and write `evaluation.json`, `evaluation_episodes.parquet` and `candidates.csv`.

    Args:
        bench: What the run works with.
        run: Its folder.
        policy: The trained policy; None for a run without learning.
        train: What training cost; None for a run without learning.
        archive: Goal alloys that search has found; walking to the nearest is a control.
        say: Told what happens.
        main: The method that the run is about.
        found: Further designs at the goal, by the method that found them: candidates, not part of any rate.

    Returns:
        The evaluation document.
    """
    say("strict evaluation: fresh starts, no restarts, every surrogate prediction counted")
    results = evaluate(bench, policy, archive, say, main)
    evaluation = evaluation_document(bench, results, main)
    evaluation["controls"] |= ceiling_control(bench, say)
    if archive is not None:
        evaluation["archive"] = {"n": len(archive), "predictions": archive.predictions_spent}
    evaluation["success_vs_predictions"] = success_curves(bench, results, policy, main)
    if bench.scorer is not None:
        evaluation["distilled"] = {"version": bench.scorer.version, "fidelity": bench.scorer.fidelity}
    evaluation["goal"] = goals_document(bench.problem, bench.goals)
    walks, methods = goal_walks(results, [main, *FORMS], found)
    run.write_table("evaluation_episodes.parquet", episode_rows(bench, results))
    document = {
        "run_dir": str(run.path),
        "base": bench.settings.base,
        "data": data_document(bench),
        "surrogate_version": bench.bundle.version,
        "judge_version": bench.judge.version,
        "train": train,
        "evaluation": evaluation,
        "candidates": write_candidates(bench, walks, methods, run),
    }
    run.write_json("evaluation.json", document)
    return document
