"""Fitting a distilled surrogate, and finding the one that belongs to a bundle."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from aimat_ray.config import DistilSettings, EnvSettings
from aimat_ray.data.goals import goal_for_base
from aimat_ray.env.startable import startable
from aimat_ray.env.task import DesignTask, fixed_goals, make_task
from aimat_ray.errors import ProblemError
from aimat_ray.prediction import Predictor
from aimat_ray.rl.distilled_net import DistilledNet
from aimat_ray.search.distilled import (
    N_LAYERS,
    DistilledSurrogate,
    answer_columns,
    chemistry_of,
    distilled_folder,
    features,
    stored_distilled,
)
from aimat_ray.search.fidelity import fidelity
from aimat_ray.search.teaching import Lessons, lessons_near_paths

if TYPE_CHECKING:
    from aimat_ray.data.sources import AlloyData
    from aimat_ray.problem import DesignProblem
    from aimat_ray.registry.store import SurrogateStore
    from aimat_ray.rl.prepare import Workbench

Say = Callable[[str], None]
_MEAN_WEIGHT = 3.0  # goals are judged on the means, intervals and spread are by-products
_REGRESSION_WEIGHT = 5.0  # against the two classifications
_WARM_UP = 0.1
_LESSONS, _HELD_OUT, _LED, _LED_HELD_OUT, _WEIGHTS = range(5)  # streams of randomness

logger = logging.getLogger(__name__)


def distil(
    task: DesignTask, predictor: Predictor, settings: DistilSettings, say: Say = logger.info, seed: int = 0
) -> DistilledSurrogate:
    """Teach a net what a surrogate answers near the paths of walks.

    First along the walks of searches and chance; then along walks that the net itself leads, where it is most often
    wrong; each time with held-out walks to measure on.

    Args:
        task: Bases and goals that walks go to, in `simplex` mode.
        predictor: The surrogate.
        settings: How many answers, which net.
        say: Told what happens.
        seed: Of everything random.

    Returns:
        The net with its fidelity: `searches` on held-out walks of the first kind, `led` on walks that the net leads.
    """
    n, n_led, n_test = settings.answers, settings.led_answers, settings.held_out_answers
    say(f"distilling {predictor.version}: collecting {n:,} answers along walks")
    lessons = lessons_near_paths(task, predictor, np.random.default_rng([seed, _LESSONS]), n)
    net = fit(task, lessons, settings, seed)
    if n_led:
        say(f"distilling: {n_led:,} answers along walks that the net leads")
        led = lessons_near_paths(task, predictor, np.random.default_rng([seed, _LED]), n_led, scorer=net)
        net = fit(task, lessons.and_also(led), settings, seed, start=net)
    held_out = lessons_near_paths(task, predictor, np.random.default_rng([seed, _HELD_OUT]), n_test)
    misled = lessons_near_paths(task, predictor, np.random.default_rng([seed, _LED_HELD_OUT]), n_test, scorer=net)
    measured = {"searches": fidelity(task, net, held_out), "led": fidelity(task, net, misled)}
    say(
        f"distilled: same side of p 0.5 on {measured['searches']['p_agreement']:.1%} of held-out answers, "
        f"{measured['led']['p_agreement']:.1%} where the net leads"
    )
    return replace(net, fidelity=measured | {"answers": len(lessons) + n_led, "seed": seed})


def redistilled(
    net: DistilledSurrogate, task: DesignTask, predictor: Predictor, settings: DistilSettings, seed: int = 0
) -> DistilledSurrogate:
    """The net of another version of the surrogate, from a net that imitates an earlier one: for a swap while training.

    It costs `led_answers` predictions along walks that the old net leads, and a short fit from its weights.
    """
    if net.teacher == predictor.version:
        return net
    n = settings.led_answers or settings.answers
    lessons = lessons_near_paths(task, predictor, np.random.default_rng([seed, _LED]), n, scorer=net)
    fitted = fit(task, lessons, settings, seed, start=net)
    rng = np.random.default_rng([seed, _LED_HELD_OUT])
    misled = lessons_near_paths(task, predictor, rng, settings.held_out_answers, scorer=fitted)
    return replace(fitted, fidelity={"led": fidelity(task, fitted, misled), "answers": len(lessons), "seed": seed})


def refreshed(bench: Workbench, store: SurrogateStore, say: Say = logger.info) -> Workbench:
    """The workbench with a distilled surrogate of the version that answers now, taught and stored if it is new.

    A run that has no distilled surrogate stays without one.
    """
    if bench.distilled is None or bench.scorer is not None:
        return bench
    version = bench.predictor.version
    found = stored_distilled(store.root, bench.bundle.name, version)
    if found is None:
        say(f"distilled surrogate: refreshing it for {version}")
        found = redistilled(bench.distilled, bench.task, bench.predictor, bench.settings.distil)
        found.save(distilled_folder(store.root, bench.bundle.name, version))
    return replace(bench, distilled=found)


def fit(
    task: DesignTask,
    lessons: Lessons,
    settings: DistilSettings,
    seed: int = 0,
    start: DistilledSurrogate | None = None,
) -> DistilledSurrogate:
    """Fit the net to answers.

    Args:
        task: Names elements and properties.
        lessons: Compositions with answers.
        settings: Width, epochs, batch and learning rate.
        seed: Of weights and batches.
        start: A net to go on from, with its scaling; half the epochs then.
    """
    elements, n_properties = task.problem.elements, len(task.problem.property_keys)
    inputs = features(lessons.at_frac, *chemistry_of(elements))
    answers = answer_columns(lessons.answers)
    if start is None:
        arrays = _fresh(inputs, answers, settings.width, np.random.default_rng([seed, _WEIGHTS]))
    else:
        arrays = start.arrays
    model = DistilledSurrogate(lessons.answers.version, elements, n_properties, arrays)
    torch.set_num_threads(1)
    net = DistilledNet(model)
    columns = (
        (inputs - arrays["feature_mean"]) / arrays["feature_scale"],
        (answers - arrays["answer_mean"]) / arrays["answer_scale"],
        np.stack([lessons.answers.p_feasible, lessons.answers.in_domain], axis=1),
    )
    epochs = settings.epochs if start is None else (settings.epochs + 1) // 2
    _descend(net, [torch.as_tensor(c.astype(np.float32)) for c in columns], settings, epochs, seed)
    return replace(model, arrays=net.arrays())


def _fresh(inputs: Any, answers: Any, width: int, rng: np.random.Generator) -> dict[str, Any]:
    """Scaling from the lessons, and random weights (He)."""
    sizes = [inputs.shape[1], *[width] * (N_LAYERS - 1), answers.shape[1] + 2]
    arrays = {
        "feature_mean": inputs.mean(axis=0),
        "feature_scale": inputs.std(axis=0) + 1e-3,
        "answer_mean": answers.mean(axis=0),
        "answer_scale": answers.std(axis=0) + 1e-9,
    }
    for i in range(N_LAYERS):
        shape = sizes[i], sizes[i + 1]
        arrays[f"weight_{i}"] = (rng.standard_normal(shape) * np.sqrt(2.0 / shape[0])).astype(np.float32)
        arrays[f"bias_{i}"] = np.zeros(shape[1], dtype=np.float32)
    return arrays


def _descend(net: DistilledNet, columns: list[torch.Tensor], settings: DistilSettings, epochs: int, seed: int) -> None:
    """Adam with a rising, then falling rate."""
    inputs, answers, flags = columns
    n, size = len(inputs), min(settings.batch_size, len(inputs))
    weight = torch.ones(answers.shape[1])
    weight[: net.n_properties] = _MEAN_WEIGHT
    steps = max(epochs * n // size, 1)
    optimizer = torch.optim.Adam(net.net.parameters(), lr=settings.lr, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, settings.lr, total_steps=steps + 1, pct_start=_WARM_UP)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        rows = torch.randint(n, (size,), generator=generator)
        out = net.net(inputs[rows])
        regression = ((out[:, :-2] - answers[rows]).square() * weight).mean()
        loss = _REGRESSION_WEIGHT * regression + binary_cross_entropy_with_logits(out[:, -2:], flags[rows])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()


def teaching_task(problem: DesignProblem, data: AlloyData, predictor: Predictor) -> DesignTask:
    """All bases with a window, a default goal and starts: where a distilled surrogate is taught.

    Raises:
        ProblemError: The data support no goal for any base.
    """
    goals = [goal_for_base(problem, data, base) for base in problem.bases if base in data.windows]
    known = [goal for goal in goals if goal is not None]
    for _ in range(2):  # the second time without the bases that have no starts
        if not known:
            break
        bases = tuple(goal.base for goal in known)
        task = make_task(problem, data, bases, fixed_goals(problem, tuple(known)), EnvSettings())
        possible, _ = startable(task, predictor)
        if possible.all():
            return task
        known = [goal for goal, keep in zip(known, possible, strict=True) if keep]
    raise ProblemError(f"data {data.name!r} support no goal for any base: there are no walks to distil along")


# ---------------------------------------------------------------------------- beside the bundles of the store


def get_or_distil(
    store: SurrogateStore,
    name: str,
    make_task: Callable[[], DesignTask],
    predictor: Predictor,
    settings: DistilSettings | None = None,
    say: Say = logger.info,
    again: bool = False,
    seed: int = 0,
) -> DistilledSurrogate:
    """The distilled twin of a bundle: from the store, or made now and stored. A new version of a bundle gets a new one.

    Args:
        store: Where the bundle is.
        name: Bundle name.
        make_task: Builds the task to collect answers on; called only when there is something to make.
        predictor: The bundle, or a client of it.
        settings: How to make it.
        say: Told what happens.
        again: Make it even if it is there.
        seed: Of walks and weights.
    """
    version = predictor.version
    found = None if again else stored_distilled(store.root, name, version)
    if found is not None:
        return found
    with store.lock(name, f"distil-{version}", timeout_s=-1):
        found = None if again else stored_distilled(store.root, name, version)
        if found is None:
            found = distil(make_task(), predictor, settings or DistilSettings(), say, seed)
            found.save(Path(distilled_folder(store.root, name, version)))
    return found
