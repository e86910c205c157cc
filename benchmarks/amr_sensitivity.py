"""How the variance trigger answers to noise of known size: firing rate, delay, false alarms by threshold and window.

Agents walk at random in OracleWorld; two models of one property differ from the truth by smooth random errors, which
grow by a known factor at a known step. What is asked of the defaults stands in refine/refine-design.md.
"""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
from _parts import entry, say

from aimat_ray.config import EnvSettings, RefineSettings, VarianceTriggerSettings
from aimat_ray.data.goals import goal_for_base
from aimat_ray.data.sources import load_data
from aimat_ray.env.alloy_env import AlloyVectorEnv
from aimat_ray.env.task import fixed_goals, make_task
from aimat_ray.refine.triggers import Window, check
from aimat_ray.refine.watch import spread_in_domain

BASES = ("Zr", "Cu", "Mg", "Fe", "La")
SIZES = (1.0, 1.5, 2.0, 2.5, 3.0, 4.0)  # factors on the models' errors from ONSET on; 1 is no noise
THRESHOLDS = (1.5, 2.0, 3.0, 4.0, 6.0)
WINDOWS = (128, 512, 2048)
ONSET, END, EVERY, N_ENVS = 6_000, 16_000, 500, 50
SEEDS = 12
P = 0  # tg_k
LEAST_RATE = 0.9


class Disagreeing:
    """The truth with two models' errors: smooth random fields of 15 K, times a factor."""

    version = "noisy-oracle"

    def __init__(self, world, seed):
        rng = np.random.default_rng([seed, 5])
        n = len(world.problem.elements)
        self._world, self.factor = world, 1.0
        self._waves = rng.standard_normal((2, n, 24)) / 0.35 * 2
        self._phases = rng.uniform(0, 2 * np.pi, (2, 24))

    def predict(self, at_frac):
        """See `Predictor`."""
        errors = [15.0 * np.sqrt(2 / 24) * np.cos(at_frac @ w + f).sum(axis=1) * self.factor
                  for w, f in zip(self._waves, self._phases, strict=True)]  # fmt: skip
        said = self._world.predict(at_frac)
        spread, mean = said.spread.copy(), said.mean.copy()
        spread[:, P] = np.abs(errors[0] - errors[1]) / 2
        mean[:, P] += (errors[0] + errors[1]) / 2
        return replace(said, spread=spread, mean=mean, version=self.version)


def main() -> list[dict]:
    data = load_data("oracle:0")
    results = {size: [walked(data, size, seed) for seed in range(SEEDS)] for size in SIZES}
    table = {
        (size, threshold, window): fired(runs, threshold, window, data)
        for size, runs in results.items() for threshold in THRESHOLDS for window in WINDOWS
    }  # fmt: skip
    show(table)
    if folder := os.environ.get("AIMAT_BENCH_OUT"):
        draw(table, Path(folder))
    own = VarianceTriggerSettings()
    threshold = min(THRESHOLDS, key=lambda t: abs(t - own.threshold))
    window = min(WINDOWS, key=lambda w: abs(w - own.window))
    weak, strong = table[1.0, threshold, window], table[3.0, threshold, window]
    detail = f"threshold {threshold:g}, window {window}, {SEEDS} runs of random walks in {', '.join(BASES)}"
    return [
        entry("amr_false_alarms", weak["any"], "", None, True, f"share of runs without noise that ever fire; {detail}"),
        entry("amr_firing_rate", strong["rate"], "", LEAST_RATE, strong["rate"] >= LEAST_RATE,
              f"errors 3 times as large from step {ONSET:,} on; {detail}"),
        entry("amr_delay_steps", strong["delay"], "steps", None, True, f"mean, after the noise began; {detail}"),
    ]  # fmt: skip


def walked(data, size, seed):
    """Spreads of the visited compositions of one run, in order, and the reference."""
    problem = data.problem
    base = BASES[seed % len(BASES)]
    task = make_task(problem, data, (base,), fixed_goals(problem, (goal_for_base(problem, data, base),)), EnvSettings())
    predictor = Disagreeing(data.oracle, seed)
    reference = spread_in_domain(predictor, data)
    env = AlloyVectorEnv(N_ENVS, task, predictor, seed=seed)
    env.reset(seed=seed)
    rng, spreads = np.random.default_rng(seed), []
    for n in range(0, END, N_ENVS):
        if n == ONSET:
            predictor.factor = size
            env.refresh()
        env.step(0.3 * rng.standard_normal((N_ENVS, env.single_action_space.shape[0])))
        spreads.append(env.state.prediction.spread[:, P].copy())
    return np.concatenate(spreads), reference


def fired(runs, threshold, window, data):
    """Share of the runs in which the trigger fires, false alarms before the noise, and the mean delay after it."""
    settings = RefineSettings(variance=VarianceTriggerSettings(threshold=threshold, window=window, cooldown=0))
    rate, early, ever, delays = 0, 0, 0, []
    for spreads, reference in runs:
        first = next((n for n in range(EVERY, END + 1, EVERY) if fires(spreads, reference, n, settings, data)), None)
        early += first is not None and first <= ONSET
        later = next(
            (n for n in range(ONSET + EVERY, END + 1, EVERY) if fires(spreads, reference, n, settings, data)), None
        )
        rate += later is not None
        ever += first is not None
        delays += [] if later is None else [later - ONSET]
    n = len(runs)
    delay = float(np.mean(delays)) if delays else None
    return {"rate": rate / n, "early": early / n, "any": ever / n, "delay": delay}


def fires(spreads, reference, n, settings, data):
    size = settings.variance.window
    seen = spreads[max(0, n - 2 * size) : n : 2]
    wide = np.zeros((len(seen), len(reference)))
    wide[:, P] = seen
    window = Window(n, "v", np.full((len(seen), 2), 0.5), np.zeros_like(wide), wide, np.empty(0), np.empty(0))
    keys = data.problem.property_keys
    return check(window, reference, ("Zr", "Cu"), keys, (keys[P],), settings, {}) is not None


def show(table):
    for window in WINDOWS:
        say(f"window {window}: firing rate (delay in steps; false alarms before the noise) by size of the errors")
        say("threshold  " + "".join(f"{f'x {size:g}':>20}" for size in SIZES))
        for threshold in THRESHOLDS:
            cells = [table[size, threshold, window] for size in SIZES]
            words = [f"{c['rate']:.2f} ({c['delay'] or 0:,.0f}; {c['early']:.2f})" for c in cells]
            say(f"{threshold:>9g}  " + "".join(f"{w:>20}" for w in words))


def draw(table, folder):
    """The table as a picture."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.2), layout="constrained")
    axes = figure.subplots(1, len(WINDOWS), sharey=True)
    for ax, window in zip(axes, WINDOWS, strict=True):
        for threshold in THRESHOLDS:
            ax.plot(SIZES, [table[s, threshold, window]["rate"] for s in SIZES], marker="o", label=f"{threshold:g}")
        ax.set(title=f"window {window}", xlabel="factor on the models' errors", ylim=(-0.03, 1.03))
    axes[0].set_ylabel("share of runs that fire")
    axes[-1].legend(title="threshold")
    folder.mkdir(parents=True, exist_ok=True)
    figure.savefig(folder / "amr_sensitivity.svg")
    say(f"picture: {folder / 'amr_sensitivity.svg'}")


if __name__ == "__main__":
    print(json.dumps(main(), indent=1))
