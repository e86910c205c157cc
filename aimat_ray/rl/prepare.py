"""Everything a design run needs before it can train: data, surrogates, goal and task."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aimat_ray.config import DesignSettings
from aimat_ray.data.goals import BaseGoal, goal_for_base
from aimat_ray.data.sources import AlloyData, load_data
from aimat_ray.env.task import DesignTask, fixed_goals, make_task
from aimat_ray.errors import ProblemError
from aimat_ray.problem import DesignProblem, load_problem
from aimat_ray.registry.client import SurrogateClient
from aimat_ray.registry.store import SurrogateStore

if TYPE_CHECKING:
    from aimat_ray.surrogate.bundle import SurrogateBundle

logger = logging.getLogger(__name__)
Say = Callable[[str], None]
BUNDLE_SEED = 0  # the surrogate does not change with the seed of a run, so that runs share one fit


@dataclass(frozen=True)
class Workbench:
    """What a run works with.

    Attributes:
        settings: Resolved settings.
        problem: The design problem.
        data: Measured (or synthetic) alloys after the declared cleaning.
        bundle: The surrogate that the agent trains on.
        judge: An independent surrogate, used only to confirm.
        goals: One goal per base.
        task: Windows, goals and scales as the environment needs them.
        predictor: Client of the surrogate.
    """

    settings: DesignSettings
    problem: DesignProblem
    data: AlloyData
    bundle: SurrogateBundle
    judge: SurrogateBundle
    goals: tuple[BaseGoal, ...]
    task: DesignTask
    predictor: SurrogateClient


def prepare(settings: DesignSettings, say: Say = logger.info) -> Workbench:
    """Load data, fit or load the surrogates, and set the goal.

    Args:
        settings: What to design.
        say: Told what happens, one line at a time.

    Raises:
        BadInputError: The data, the base or the goal can't be used.
    """
    problem = load_problem(settings.problem)
    problem.check_base(settings.base)
    data = load_data(settings.data, problem)
    kind = "SYNTHETIC data" if data.synthetic else "data"
    say(f"{kind} {data.name}: {len(data.regression)} property rows, {len(data.classification)} class rows")
    goals = tuple(_goal(settings, problem, data, base) for base in (settings.base,))
    for goal in goals:
        say(goal.describe(problem))
    task = make_task(problem, data, (settings.base,), fixed_goals(problem, goals), settings.env)
    store = SurrogateStore()
    bundles = []
    for name in (settings.bundle, "judge"):
        say(f"surrogate {name}: loading, or fitting if this data set is new")
        bundles.append(store.get_or_fit(name, data, problem, BUNDLE_SEED, lambda text, share: say(f"  {text}")))
    bundle, judge = bundles
    if settings.transport == "serve":
        predictor = _serve(store, bundle)
    else:
        predictor = SurrogateClient.stored(store.root, bundle.version)
    return Workbench(settings, problem, data, bundle, judge, goals, task, predictor)


def _goal(settings: DesignSettings, problem: DesignProblem, data: AlloyData, base: str) -> BaseGoal:
    if base not in data.windows:
        raise ProblemError(
            f"base {base!r} has no window in data {data.name!r}: no measured alloy of the feasible class has it as "
            f"majority element; bases with a window: {' '.join(data.windows)}"
        )
    goal = goal_for_base(problem, data, base, settings.goal, settings.percentile)
    if goal is None:
        name = settings.goal or problem.default_goal
        raise ProblemError(
            f"base {base!r}: no evidence for goal {name!r}; too few measured rows of this base and of its chemical group. "
            "Choose another base, another goal, or bring more data"
        )
    return goal


def _serve(store: SurrogateStore, bundle: SurrogateBundle) -> SurrogateClient:
    """Put the surrogate behind the Serve deployment of its channel."""
    from aimat_ray.registry.channel import Channel
    from aimat_ray.registry.deployment import start_surrogate_service
    from aimat_ray.registry.hub import SurrogateHub

    hub = SurrogateHub.start(Channel.of(bundle.manifest), store.root)
    hub.publish(bundle.version)
    start_surrogate_service(hub)
    return SurrogateClient.serve()
