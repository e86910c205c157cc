"""Everything a design run needs before it can train: data, surrogates, goal and task."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from aimat_ray.config import DesignSettings
from aimat_ray.data.goals import BaseGoal
from aimat_ray.data.sources import AlloyData, load_data
from aimat_ray.data.user_goals import any_goal
from aimat_ray.env.startable import startable
from aimat_ray.env.task import DesignTask, episode_goals, make_task
from aimat_ray.errors import ProblemError
from aimat_ray.problem import DesignProblem, load_problem
from aimat_ray.registry.client import SurrogateClient
from aimat_ray.registry.store import SurrogateStore
from aimat_ray.search.distilled import DistilledSurrogate, stored_distilled

if TYPE_CHECKING:
    from aimat_ray.surrogate.bundle import SurrogateBundle

logger = logging.getLogger(__name__)
Say = Callable[[str], None]
ALL_BASES = "all"
BUNDLE_SEED = 0  # the surrogate does not change with the seed of a run, so that runs share one fit


@dataclass(frozen=True)
class Inputs:
    """What a run is asked for, checked: everything that can be refused before anything takes minutes.

    Attributes:
        settings: Resolved settings.
        problem: The design problem.
        data: Measured (or synthetic) alloys after the declared cleaning.
        goals: One goal per base.
        task: Windows, goals and scales as the environment needs them.
    """

    settings: DesignSettings
    problem: DesignProblem
    data: AlloyData
    goals: tuple[BaseGoal, ...]
    task: DesignTask


@dataclass(frozen=True)
class Workbench(Inputs):
    """What a run works with.

    Attributes:
        bundle: The surrogate that the agent trains on.
        judge: An independent surrogate, used only to confirm.
        predictor: Client of the surrogate.
        distilled: Its distilled twin where the store has one; it scores moves and never judges.
    """

    bundle: SurrogateBundle
    judge: SurrogateBundle
    predictor: SurrogateClient
    distilled: DistilledSurrogate | None = None

    @property
    def scorer(self) -> DistilledSurrogate | None:
        """The distilled surrogate while it imitates the one that answers now; None after a swap, until refreshed."""
        found = self.distilled
        return found if found is not None and found.teacher == self.predictor.version else None


def read_inputs(settings: DesignSettings, say: Say = logger.info) -> Inputs:
    """Load the data and set the goal.

    Args:
        settings: What to design.
        say: Told what happens, one line at a time.

    Raises:
        BadInputError: The data, the base or the goal can't be used.
    """
    problem = load_problem(settings.problem)
    held_out = {problem.check_base(base) for base in settings.hold_out}
    asked = tuple(base for base in asked_bases(settings.base, problem) if base not in held_out)
    if not asked:
        raise ProblemError(f"all bases of this run are held out: {' '.join(settings.hold_out)}")
    data = load_data(settings.data, problem)
    kind = "SYNTHETIC data" if data.synthetic else "data"
    say(f"{kind} {data.name}: {len(data.regression)} property rows, {len(data.classification)} class rows")
    goals = tuple(_goals(settings, problem, data, asked))
    for goal in goals:
        say(goal.describe(problem))
    for key in dict.fromkeys(item.quantity for goal in goals for item in goal.objectives):
        if key in problem.cautions:
            say(f"caution: {problem.cautions[key]}")
    return Inputs(settings, problem, data, goals, task_of(settings, problem, data, goals))


def task_of(
    settings: DesignSettings, problem: DesignProblem, data: AlloyData, goals: tuple[BaseGoal, ...]
) -> DesignTask:
    """The task of designing for some goals, one per base."""
    bases = tuple(goal.base for goal in goals)
    return make_task(problem, data, bases, episode_goals(problem, data, goals, settings.goals), settings.env)


def prepare(inputs: Inputs, say: Say = logger.info) -> Workbench:
    """Fit or load the surrogates.

    Args:
        inputs: What the run is asked for.
        say: Told what happens, one line at a time.
    """
    store = SurrogateStore()
    bundles = []
    for name in (inputs.settings.bundle, "judge"):
        say(f"surrogate {name}: loading, or fitting if this data set is new")
        bundles.append(
            store.get_or_fit(name, inputs.data, inputs.problem, BUNDLE_SEED, lambda text, share: say(f"  {text}"))
        )
    bundle, judge = bundles
    if inputs.settings.transport == "serve":
        predictor = _serve(store, bundle)
    else:
        predictor = SurrogateClient.stored(store.root, bundle.version)
    distilled = _distilled(inputs, store, bundle, predictor, say)
    bench = Workbench(**vars(inputs), bundle=bundle, judge=judge, predictor=predictor, distilled=distilled)
    return without_dead_bases(bench, say) if len(bench.goals) > 1 else bench


def _distilled(
    inputs: Inputs, store: SurrogateStore, bundle: SurrogateBundle, predictor: SurrogateClient, say: Say
) -> DistilledSurrogate | None:
    """The distilled twin of the surrogate: made now where the settings need it, otherwise only if the store has it."""
    agent = inputs.settings.agent
    wanted = agent.guidance != "none" or agent.labels in ("lookahead", "both", "plan") or agent.network == "elements"
    if inputs.settings.method != "td3" or not wanted:
        return stored_distilled(store.root, bundle.name, bundle.version)
    from aimat_ray.rl.distil import get_or_distil, teaching_task

    say("distilled surrogate: loading, or teaching it if this surrogate has none")

    def task() -> DesignTask:
        return teaching_task(inputs.problem, inputs.data, predictor)

    return get_or_distil(store, bundle.name, task, predictor, inputs.settings.distil, say)


def without_dead_bases(bench: Workbench, say: Say) -> Workbench:
    """Leave out bases where no feasible start that is not at its goal can be drawn.

    Raises:
        ProblemError: No base is left.
    """
    possible, reasons = startable(bench.task, bench.predictor)
    for reason in reasons:
        say(f"WARNING {reason}; this base is left out")
    if not possible.any():
        raise ProblemError(f"no base can be designed: {reasons[0]}")
    if possible.all():
        return bench
    goals = tuple(goal for goal, keep in zip(bench.goals, possible, strict=True) if keep)
    return replace(bench, goals=goals, task=task_of(bench.settings, bench.problem, bench.data, goals))


def asked_bases(text: str, problem: DesignProblem) -> tuple[str, ...]:
    """Bases of a run: one, several separated by commas, or all of the problem's.

    Raises:
        ProblemError: One of them is not a base of the problem.
    """
    if text == ALL_BASES:
        return problem.bases
    return tuple(dict.fromkeys(problem.check_base(base.strip()) for base in text.split(",")))


def _goals(settings: DesignSettings, problem: DesignProblem, data: AlloyData, asked: tuple[str, ...]) -> list[BaseGoal]:
    """One goal per base; when all bases are asked for, those without window or evidence are left out."""
    goals = []
    for base in asked:
        goal = None
        if base in data.windows:
            goal = any_goal(problem, data, base, settings.goal, settings.percentile)
        if goal is not None:
            goals.append(goal)
        elif settings.base != ALL_BASES:
            raise ProblemError(_why_not(settings, problem, data, base))
    if not goals:
        raise ProblemError(f"data {data.name!r} support no goal {settings.goal or problem.default_goal!r} for any base")
    return goals


def _why_not(settings: DesignSettings, problem: DesignProblem, data: AlloyData, base: str) -> str:
    if base not in data.windows:
        return (
            f"base {base!r} has no window in data {data.name!r}: no measured alloy of the feasible class has it as "
            f"majority element; bases with a window: {' '.join(data.windows)}"
        )
    return (
        f"base {base!r}: no evidence for goal {settings.goal or problem.default_goal!r}; too few measured rows of this "
        "base and of its chemical group. Choose another base, another goal, or bring more data"
    )


def _serve(store: SurrogateStore, bundle: SurrogateBundle) -> SurrogateClient:
    """A client of the surrogate's Serve deployment, which is started if nobody did before."""
    from aimat_ray.registry.shared import share_surrogate

    return SurrogateClient.serve(share_surrogate(store.root, bundle.manifest, bundle.version))
