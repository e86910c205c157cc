"""A design run without learning: a search is the method, everything around it is that of a trained agent's run.

The same folder, strict ledger, confirmation by the judge, candidates and report. A search needs no Ray, unless the
surrogate is served by it.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from aimat_ray.config import DesignSettings
from aimat_ray.env.goals import FixedGoals
from aimat_ray.env.walk import WalkState, judge
from aimat_ray.errors import ConfigError, ProblemError
from aimat_ray.rl.finish import finish_run
from aimat_ray.rl.labels import search_archive
from aimat_ray.rl.methods import EVOLUTION
from aimat_ray.rl.pool_summary import describe_pool
from aimat_ray.rl.prepare import Say, Workbench, prepare, read_inputs
from aimat_ray.rl.run_dir import RunDirectory
from aimat_ray.rl.run_record import check_folder, check_same_surrogate, start_record
from aimat_ray.search.archive import Archive
from aimat_ray.search.design import FoundDesigns, search_designs

CONTROL_OF = {"archive": "archive_walk", "greedy": "greedy_16", "local": "local_search", "evolution": EVOLUTION}
_SEARCH_STREAM = 13


def design_by_search(settings: DesignSettings, out: Path, say: Say, again: bool = False) -> dict[str, Any]:
    """Run one design with the search that the settings name.

    Args:
        settings: What to design and how.
        out: Folder of the run.
        say: Told what happens, one line at a time.
        again: Repeat the run in `out`: the same search, evaluated with these settings.

    Returns:
        The evaluation document (`evaluation.json`).

    Raises:
        BadInputError: Settings, data or folder can't be used, or the run to repeat was made with other data.
    """
    if settings.env.mode == "paper" and settings.method in ("archive", "evolution"):
        raise ConfigError(f"method {settings.method!r} works in mode 'simplex'; for mode 'paper' take greedy or local")
    run = RunDirectory(out)
    inputs = read_inputs(settings, say)
    check_folder(run, inputs, resume=again)
    with _services(settings):
        bench = prepare(inputs, say)
        if again:
            check_same_surrogate(run, bench)
        else:
            start_record(run, bench)
            run.write_json("pool.json", describe_pool(bench))
        archive = search_archive(bench, say)
        if archive is None and settings.method == "archive":
            raise ProblemError("the search found no goal alloy for the archive; raise --budget or ask for less")
        found = run_search(bench, archive, say)
        designs = {CONTROL_OF[settings.method]: found.walks}
        if archive is not None and settings.method == "archive":
            designs |= {"archive": archived_designs(bench, archive)}
        return finish_run(bench, run, None, None, archive, say, CONTROL_OF[settings.method], designs)


def run_search(bench: Workbench, archive: Archive | None, say: Say) -> FoundDesigns:
    """Spend the search's budget on designs.

    Args:
        bench: What the run works with.
        archive: Goal alloys, for method `archive`.
        say: Told what was found.
    """
    settings = bench.settings
    rng = np.random.default_rng([settings.seed, _SEARCH_STREAM])
    budget = settings.search.budget_per_base * len(bench.task.bases)
    found = search_designs(bench.task, bench.predictor, settings.method, budget, rng, archive=archive)
    say(
        f"{settings.method}: {len(found)} different designs at the goal from {found.predictions:,} predictions; "
        f"{found.n_goal} of {found.n_tried} starts"
    )
    return found


def archived_designs(bench: Workbench, archive: Archive) -> WalkState:
    """The alloys of an archive that meet the goals of their bases, as walks that stand where they began.

    Only fixed goals say of an alloy without a start whether it is a design; otherwise there are none.
    """
    base = np.array([bench.task.bases.index(symbol) for symbol in archive.base], dtype=np.intp)
    goals = bench.task.goals.draw(base, bench.task.judged(archive.prediction), np.random.default_rng(0))
    steps = np.zeros(len(archive), dtype=np.intp)
    walks = WalkState(archive.at_frac, archive.at_frac.copy(), base, steps, goals, archive.prediction)
    fixed = isinstance(bench.task.goals, FixedGoals)
    return walks.rows(judge(bench.task, walks).goal & fixed)


def _services(settings: DesignSettings) -> AbstractContextManager[None]:
    if settings.transport != "serve":
        return nullcontext()
    from aimat_ray.registry.runtime import ray_running

    return ray_running(num_cpus=2)
