"""What AMR costs: recomputing 200,000 stored rewards, the pause of a swap, and throughput while nothing fires."""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import replace

import numpy as np
from _parts import cpu_seconds, data_spec, entry, say
from _planted import folder

from aimat_ray.config import load_settings
from aimat_ray.env.alloy_env import AlloyVectorEnv
from aimat_ray.experience.buffer import FlatReplayBuffer, transition_schema
from aimat_ray.refine.companion import (
    CHECKS_PER_RUN,
    LEAST_STEPS_BETWEEN_CHECKS,
    AmrCompanion,
    adopt_everywhere,
)
from aimat_ray.refine.swap import recompute
from aimat_ray.registry.runtime import ray_running
from aimat_ray.registry.store import SurrogateStore
from aimat_ray.rl.algorithm import build_algorithm, training_task
from aimat_ray.rl.hooks import Alone
from aimat_ray.rl.prepare import prepare, read_inputs
from aimat_ray.rl.run_dir import RunDirectory
from aimat_ray.surrogate.changed import changed_property
from aimat_ray.surrogate.refitting import property_rows, refit_property

ROWS, ROWS_BAR_S = 200_000, 20.0
PAUSE_BAR_S = 0.2
IDLE_BAR, IDLE_STEPS, IDLE_BLOCKS = 0.97, 20_000, 24
CHECK_EVERY = max(LEAST_STEPS_BETWEEN_CHECKS, IDLE_STEPS // CHECKS_PER_RUN)
WATCH_ONLY = {"refine.adviser": "none", "refine.variance.threshold": 1e9, "refine.correlation.threshold": -0.999}
SMALL = {"agent.labels": "none", "agent.bc_weight": 0.0, "pool.mode": "off", "base": "Zr"}


def main() -> list[dict]:
    settings = load_settings(None, SMALL | {"data": data_spec(), "steps": IDLE_STEPS})
    with ray_running(num_cpus=2):
        bench = prepare(read_inputs(settings, say), say)
        return [*recomputing(bench), *idle(bench)]


def recomputing(bench):
    """Walk at random until the buffer holds 200,000 transitions, then bring them to another version's rewards."""
    task = training_task(bench.task)
    n_envs = 512
    env = AlloyVectorEnv(n_envs, task, bench.predictor, max_steps=40, seed=0)
    obs, _ = env.reset(seed=0)
    rng, n_actions = np.random.default_rng(0), env.single_action_space.shape[0]
    buffer = FlatReplayBuffer(transition_schema(obs.shape[1], n_actions), ROWS, rng)
    ended = np.zeros(n_envs, dtype=bool)
    while len(buffer) < ROWS:
        action = np.clip(0.4 * rng.standard_normal((n_envs, n_actions)), -1, 1).astype(np.float32)
        after, reward, terminated, truncated, _ = env.step(action)
        columns = {"obs": obs, "actions": action, "rewards": reward, "next_obs": after, "terminateds": terminated}
        buffer.add({name: np.asarray(values, np.float32)[~ended] for name, values in columns.items()})
        obs, ended = after, terminated | truncated
    say(f"{len(buffer):,} transitions")
    key = "dmax_mm"
    rows = property_rows(bench.bundle, bench.data, bench.problem, key)
    refined = refit_property(bench.bundle, bench.problem, rows, ("h_mix",), np.array(rows.at_frac[:8])).bundle
    changed = changed_property(bench.bundle, refined)
    return [
        timed("amr_recompute_200k_s", buffer, task, refined, changed, f"{key} refined, the rest carried over"),
        timed("amr_recompute_200k_all_anew_s", buffer, task, bench.bundle, None, "every property predicted anew"),
    ]


def timed(name, buffer, task, predictor, changed, what):
    before = time.process_time()
    done = recompute(buffer, task, predictor, None, threads=2, changed=changed)
    cpu = time.process_time() - before
    detail = f"{done.predictions:,} different compositions, {what}; {cpu:.1f} CPU seconds, two threads"
    return entry(name, done.seconds, "s", ROWS_BAR_S, done.seconds <= ROWS_BAR_S, detail)


def idle(bench):
    """CPU time of two trainings in this process, one of them watched, in blocks that take turns; and a runner's pause.

    Each block of the watched one holds a check; what the actor spends in its own process is added.
    """
    settings = load_settings(None, SMALL | {"data": data_spec(), "steps": IDLE_STEPS} | WATCH_ONLY)
    run, companion = RunDirectory(folder("idle")), AmrCompanion(settings, lambda line: None)
    algorithms = []
    try:
        watched = companion.join(replace(bench, settings=settings), run, resume=False)
        algorithms = [build_algorithm(bench), build_algorithm(watched)]
        companion.start(algorithms[1], watched, None)
        for algorithm in algorithms:  # random steps, and whatever is made at first use
            algorithm.train()
        actor = [companion._live().status().pid]
        pairs, actor_before = [], cpu_seconds(actor)
        while len(pairs) < IDLE_BLOCKS:
            pair = {k: one_block(algorithms[k], companion if k else Alone()) for k in turn(len(pairs))}
            pairs.append((pair[0], pair[1]))
        in_actor = (cpu_seconds(actor) - actor_before) / len(pairs)
        pauses = swap_pauses(algorithms[1], watched, companion)
    finally:
        for algorithm in algorithms:
            algorithm.stop()
        companion.close()
        shutil.rmtree(run.path, ignore_errors=True)
    alone, beside = np.array(pairs).T
    beside = beside + in_actor
    ratio, (low, high) = ratio_of(alone, beside)
    detail = (
        f"steps per CPU second with / without, median of {len(pairs)} pairs of blocks, 95 % interval "
        f"[{low:.3f}, {high:.3f}] (bootstrap); {alone.sum():.1f} and {beside.sum():.1f} CPU s, {in_actor:.3f} s "
        f"per block in the actor"
    )
    return [
        entry("amr_idle_throughput", ratio, "", IDLE_BAR, ratio >= IDLE_BAR, detail),
        entry("amr_swap_pause_s", max(pauses), "s", PAUSE_BAR_S, max(pauses) <= PAUSE_BAR_S,
              f"longest of {len(pauses)} exchanges, open walks predicted again"),
    ]  # fmt: skip


def turn(n):
    """Which training goes first in the n-th pair."""
    return (0, 1) if n % 2 == 0 else (1, 0)


def one_block(algorithm, companion):
    """CPU seconds per step of the iterations up to the next check, with it."""
    began, first = time.process_time(), algorithm.env_steps
    while algorithm.env_steps - first < CHECK_EVERY:
        algorithm.train()
        companion.after_iteration(algorithm)
    return (time.process_time() - began) / (algorithm.env_steps - first) * CHECK_EVERY


def ratio_of(alone, beside):
    """Median of the pairs' ratios and its bootstrap interval."""
    ratios, rng = alone / beside, np.random.default_rng(0)
    drawn = np.median(ratios[rng.integers(len(ratios), size=(4_000, len(ratios)))], axis=1)
    return float(np.median(ratios)), np.percentile(drawn, [2.5, 97.5])


def swap_pauses(algorithm, bench, companion):
    """Publish the judge's surrogate and the own one in turn, and let the runners take them when they are loaded."""
    store, found = SurrogateStore(), []
    hub = companion._hub
    twin = store.get(bench.bundle.version)
    other = type(twin)(twin._parts, twin.manifest.model_copy(update={"version": "", "files": {}, "chosen_by": "twin"}))
    store.put(other)
    for version in (other.version, bench.bundle.version, other.version):
        hub.publish(version)
        for _ in range(300):
            waiting = algorithm.env_runner_group.foreach_env_runner(lambda r: r.env.unwrapped.predictor.next_version)
            if set(waiting) == {version}:
                break
            time.sleep(0.1)
        found += adopt_everywhere(algorithm)
    return found


if __name__ == "__main__":
    print(json.dumps(main(), indent=1))
