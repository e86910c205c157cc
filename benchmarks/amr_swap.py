"""What AMR costs: recomputing 200,000 stored rewards, the pause of a swap, and throughput while nothing fires."""

from __future__ import annotations

import json
import os
import shutil
import time
from dataclasses import replace

import numpy as np
from _parts import cpu_seconds, data_spec, entry, process_tree, say
from _planted import folder

from aimat_ray.config import load_settings
from aimat_ray.env.alloy_env import AlloyVectorEnv
from aimat_ray.experience.buffer import FlatReplayBuffer, transition_schema
from aimat_ray.refine.companion import AmrCompanion, adopt_everywhere
from aimat_ray.refine.swap import recompute
from aimat_ray.registry.runtime import ray_running
from aimat_ray.registry.store import SurrogateStore
from aimat_ray.rl.algorithm import build_algorithm, training_task
from aimat_ray.rl.hooks import Alone
from aimat_ray.rl.prepare import prepare, read_inputs
from aimat_ray.rl.run_dir import RunDirectory
from aimat_ray.rl.train import train_agent

ROWS, ROWS_BAR_S = 200_000, 20.0
PAUSE_BAR_S = 0.2
IDLE_BAR, IDLE_STEPS, ROUNDS = 0.97, 4_000, 2
SMALL = {"agent.labels": "none", "agent.bc_weight": 0.0, "pool.mode": "off", "base": "Zr"}


def main() -> list[dict]:
    settings = load_settings(None, SMALL | {"data": data_spec(), "steps": IDLE_STEPS})
    with ray_running(num_cpus=2):
        bench = prepare(read_inputs(settings, say), say)
        return [recomputing(bench), *idle(bench)]


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
    before = cpu_seconds([os.getpid()])
    done = recompute(buffer, task, bench.predictor, None, threads=2)
    cpu = cpu_seconds([os.getpid()]) - before
    detail = f"{done.predictions:,} different compositions; {cpu:.1f} CPU seconds, two threads"
    return entry("amr_recompute_200k_s", done.seconds, "s", ROWS_BAR_S, done.seconds <= ROWS_BAR_S, detail)


def idle(bench):
    """CPU time of a training with a watching companion against one without, alternating; and a runner's pause."""
    spent, pauses = {False: [], True: []}, []
    for k in range(2 * ROUNDS):
        watching = k % 2 == 1
        spent[watching].append(one_training(bench, watching, pauses))
        say(f"{'watched' if watching else 'alone'}: {spent[watching][-1]:.1f} CPU s")
    ratio = float(np.median(spent[False]) / np.median(spent[True]))
    times = "; ".join(f"{'with' if w else 'without'} {', '.join(f'{s:.1f}' for s in t)}" for w, t in spent.items())
    return [
        entry("amr_idle_throughput", ratio, "", IDLE_BAR, ratio >= IDLE_BAR, f"CPU seconds of training, {times}"),
        entry("amr_swap_pause_s", max(pauses), "s", PAUSE_BAR_S, max(pauses) <= PAUSE_BAR_S,
              f"longest of {len(pauses)} exchanges, open walks predicted again"),
    ]  # fmt: skip


def one_training(bench, watching, pauses):
    settings = bench.settings
    if watching:
        quiet = {"refine.adviser": "none", "refine.variance.threshold": 1e9, "refine.correlation.threshold": -0.999}
        settings = load_settings(None, SMALL | {"data": data_spec(), "steps": IDLE_STEPS} | quiet)
    run = RunDirectory(folder("idle"))
    companion = AmrCompanion(settings, say) if watching else Alone()
    try:
        own = companion.join(replace(bench, settings=settings), run, resume=False)
        algorithm = build_algorithm(own)
        began = cpu_seconds(process_tree(os.getpid()))
        train_agent(algorithm, own, run, lambda line: None, False, companion, None)
        spent = cpu_seconds(process_tree(os.getpid())) - began
        if watching:
            pauses += swap_pauses(algorithm, own, companion)
        algorithm.stop()
    finally:
        companion.close()
        shutil.rmtree(run.path, ignore_errors=True)
    return spent


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
