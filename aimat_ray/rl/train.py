"""The main path: measured alloys in, a trained agent, its strict evaluation and ranked candidates out."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from aimat_ray.config import DesignSettings
from aimat_ray.errors import RunError
from aimat_ray.registry.runtime import ray_running
from aimat_ray.rl.algorithm import build_algorithm
from aimat_ray.rl.finish import finish_run
from aimat_ray.rl.hooks import Alone, Companion
from aimat_ray.rl.labels import make_labeler, search_archive
from aimat_ray.rl.monitor import Monitor
from aimat_ray.rl.policy import Policy
from aimat_ray.rl.pool_summary import describe_pool
from aimat_ray.rl.prepare import Say, Workbench, prepare, read_inputs
from aimat_ray.rl.run_dir import RunDirectory
from aimat_ray.rl.run_record import check_folder, check_same_surrogate, start_record
from aimat_ray.rl.td3 import TD3, load_actor
from aimat_ray.search.archive import Archive

CHECKPOINTS_PER_RUN = 10


def design(
    settings: DesignSettings, out: Path, say: Say, resume: bool = False, companion: Companion | None = None
) -> dict[str, Any]:
    """Run one design from data to candidates.

    Args:
        settings: What to design and how.
        out: Folder of the run.
        say: Told what happens, one line at a time.
        resume: Continue the run in `out` from its last checkpoint.
        companion: Watches the training, and may change its surrogate and its rewards.

    Returns:
        The evaluation document (`evaluation.json`).

    Raises:
        BadInputError: Settings, data or folder can't be used, or the run to resume was made with other data.
    """
    run = RunDirectory(out)
    inputs = read_inputs(settings, say)
    check_folder(run, inputs, resume)
    companion = companion or Alone()
    with ray_running(num_cpus=max(2, settings.runners + 1)), closing(companion):
        bench = prepare(inputs, say)
        if resume:
            check_same_surrogate(run, bench)
        else:
            start_record(run, bench)
            run.write_json("pool.json", describe_pool(bench))
        bench = companion.join(bench, run, resume)
        archive = search_archive(bench, say)
        algorithm = build_algorithm(bench, make_labeler(bench, archive))
        try:
            train = train_agent(algorithm, bench, run, say, resume, companion, archive)
            bench, archive = companion.finish(bench, archive)
            return finish_run(bench, run, Policy(bench.task, algorithm.actor()), train, archive, say)
        finally:
            algorithm.stop()


def train_agent(
    algorithm: TD3,
    bench: Workbench,
    run: RunDirectory,
    say: Say,
    resume: bool = False,
    companion: Companion | None = None,
    archive: Archive | None = None,
) -> dict[str, Any]:
    """Train until the budget is spent; every round is measured, and saved often enough to lose little."""
    companion, steps = companion or Alone(), bench.settings.steps
    monitor = Monitor(run, bench, say)
    if resume and (checkpoint := run.last_checkpoint()):
        algorithm.restore_from_path(str(checkpoint.resolve()))
        monitor.rewind(algorithm.env_steps)
    companion.start(algorithm, bench, archive)
    interval = max(1, steps // CHECKPOINTS_PER_RUN)
    began = time.monotonic()
    first_step, next_save = algorithm.env_steps, algorithm.env_steps + interval
    while algorithm.env_steps < steps:
        companion.measured(monitor.record(algorithm, algorithm.train(), companion.after_iteration(algorithm)))
        if algorithm.env_steps >= min(next_save, steps):
            monitor.flush()
            run.new_checkpoint(algorithm.env_steps, lambda path: algorithm.save_to_path(str(path.resolve())))
            next_save = algorithm.env_steps + interval
    seconds = time.monotonic() - began
    monitor.close()
    return {
        "env_steps": algorithm.env_steps,
        "updates": algorithm.n_updates,
        "seconds": seconds,
        "env_steps_per_s": (algorithm.env_steps - first_step) / max(seconds, 1e-9),
    }


def evaluate_again(settings: DesignSettings, out: Path, say: Say) -> dict[str, Any]:
    """Evaluate the policy of a finished or interrupted run.

    Raises:
        RunError: There is no checkpoint, or the run was made with other inputs.
    """
    run, checkpoint = RunDirectory(out), _policy_of(out)
    inputs = read_inputs(settings, say)
    check_folder(run, inputs, resume=True)
    with ray_running(num_cpus=2):
        bench = prepare(inputs, say)
        check_same_surrogate(run, bench)
        before = run.read_json("evaluation.json") if (run / "evaluation.json").exists() else {}
        policy = Policy(bench.task, load_actor(checkpoint))
        return finish_run(bench, run, policy, before.get("train"), search_archive(bench, say), say)


def evaluate_elsewhere(
    trained: DesignSettings, asked: DesignSettings, run: Path, out: Path, say: Say
) -> dict[str, Any]:
    """Evaluate the policy of a run on bases or goals that it was not trained for.

    Args:
        trained: Settings of the run.
        asked: The same with other bases or goals; the evaluation writes a folder of its own.
        run: The run's folder.
        out: Folder to write; it becomes a run without training.
        say: Told what happens.

    Raises:
        RunError: There is no checkpoint, `out` holds a run, or data or surrogate are not those of the run.
    """
    checkpoint = _policy_of(run)
    before, inputs = read_inputs(trained, lambda line: None), read_inputs(asked, say)
    check_folder(RunDirectory(run), before, resume=True)
    folder = RunDirectory(out)
    check_folder(folder, inputs, resume=False)
    with ray_running(num_cpus=2):
        bench = prepare(inputs, say)
        check_same_surrogate(RunDirectory(run), bench)
        # What memory can offer is what it could gather where the policy was trained.
        archive = search_archive(replace(bench, settings=trained, goals=before.goals, task=before.task), say)
        start_record(folder, bench)
        return finish_run(bench, folder, Policy(bench.task, load_actor(checkpoint)), None, archive, say)


def _policy_of(run: Path) -> Path:
    """The last checkpoint of a run."""
    checkpoint = RunDirectory(run).last_checkpoint()
    if checkpoint is None:
        raise RunError(f"{run} holds no checkpoint; train it first with aimat design --resume --out {run}")
    return checkpoint
