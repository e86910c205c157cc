"""The refinement actor: a Ray shell around the state machine. It decides nothing.

It takes in windows, writes every event and what follows from it to the audit log, and has the instructions performed:
advice and retraining as Ray tasks, publication through the hub. It may die at any time: Ray starts it again, it reads
its log, and performs again what was pending.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import ray
from numpy.typing import NDArray
from ray.exceptions import GetTimeoutError, RayActorError, RayError

from aimat_ray.errors import AimatError, ServiceError
from aimat_ray.refine import work as long_work
from aimat_ray.refine.audit import FILE_NAME, AuditLog, read, recover
from aimat_ray.refine.state import (
    AdviceFailed,
    Event,
    Instruction,
    Interrupted,
    Propose,
    Publish,
    Published,
    PublishFailed,
    Retrain,
    RetrainFailed,
    Triggered,
    advance,
    pending,
)
from aimat_ray.refine.triggers import Window, check
from aimat_ray.refine.work import Work
from aimat_ray.registry.hub import NAMESPACE, SurrogateHub

CALL_TIMEOUT_S = 60.0
_PUBLISH_PAUSE_S = 1.0  # before a failed publication is tried again


@dataclass(frozen=True)
class Status:
    """Where the loop stands.

    Attributes:
        phase: Phase of the state machine.
        refinement: Number of the refinement under way, or of the last.
        versions: Versions that this run has published.
        last_fired: Env steps of the last firing, by trigger.
        pid: Process of the actor.
    """

    phase: str
    refinement: int
    versions: tuple[str, ...]
    last_fired: dict[str, int]
    pid: int

    @property
    def idle(self) -> bool:
        """Whether nothing is under way."""
        return self.phase == "idle"


class RefinementActor:
    """What runs in the actor's process.

    Args:
        run_dir: Folder of the run; the audit log lies there.
        hub: Publishes accepted versions.
        work: What the long parts need, in a list so that Ray passes the reference on.
        watched: Properties that a refinement would be worth.
    """

    def __init__(self, run_dir: str, hub: SurrogateHub, work: list[Any], watched: tuple[str, ...]) -> None:
        self._hub, self._work_ref, self._watched = hub, work[0], watched
        self._work: Work = ray.get(self._work_ref)
        path = Path(run_dir) / FILE_NAME
        self._log = AuditLog(path)
        self._state = recover(read(path), self._work.settings)
        self._unfinished: tuple[Instruction, ...] = pending(self._state)
        self._running: set[asyncio.Task[None]] = set()

    async def observe(self, window: Window, reference: NDArray[np.float64]) -> Status:
        """Look at a window; a trigger that fires starts a refinement.

        Args:
            window: The latest steps.
            reference: Mean squared spread of each property in the domain, [P].
        """
        self._resume()
        if self._state.phase == "idle":
            elements, properties = self._work.problem.elements, self._work.problem.property_keys
            fired = check(
                window, reference, elements, properties, self._watched, self._work.settings, self._state.last_fired
            )
            if fired is not None:
                self._take(Triggered(trigger=fired))
        return self._status()

    async def status(self) -> Status:
        """Where the loop stands; also what wakes a restarted actor."""
        self._resume()
        return self._status()

    async def stop(self, reason: str) -> Status:
        """Give up what is under way."""
        for task in self._running:
            task.cancel()
        if self._state.phase != "idle":
            self._take(Interrupted(reason=reason))
        self._unfinished = ()
        return self._status()

    def _status(self) -> Status:
        s = self._state
        return Status(s.phase, s.refinement, s.versions, dict(s.last_fired), os.getpid())

    def _resume(self) -> None:
        unfinished, self._unfinished = self._unfinished, ()
        for instruction in unfinished:
            self._start(instruction)

    def _take(self, event: Event) -> None:
        """Take in an event: first the log, then the state, then what follows."""
        state, instructions = advance(self._state, event, self._work.settings)
        self._log.append(event, state, instructions)
        self._state = state
        for instruction in instructions:
            self._start(instruction)

    def _start(self, instruction: Instruction) -> None:
        performer = self._performer(instruction)
        if performer is None:
            return
        task = asyncio.get_running_loop().create_task(self._perform(performer))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _perform(self, performer: Callable[[], Awaitable[Event]]) -> None:
        self._take(await performer())

    def _performer(self, instruction: Instruction) -> Callable[[], Awaitable[Event]] | None:
        match instruction:
            case Propose():
                return lambda: self._propose(instruction)
            case Retrain():
                return lambda: self._retrain(instruction)
            case Publish():
                return lambda: self._publish(instruction)
            case _:
                return None  # there to be told, and the log has told it

    async def _propose(self, order: Propose) -> Event:
        try:
            event: Event = await _task(long_work.propose).remote(self._work_ref, order)
        except RayError as error:
            reason = f"the task died: {type(error).__name__}"
            return AdviceFailed(refinement=order.refinement, attempt=order.attempt, reason=reason, final=False)
        return event

    async def _retrain(self, order: Retrain) -> Event:
        try:
            event: Event = await _task(long_work.retrain).remote(self._work_ref, order)
        except RayError as error:
            reason = f"the task died: {type(error).__name__}"
            return RetrainFailed(refinement=order.refinement, attempt=order.attempt, reason=reason)
        return event

    async def _publish(self, order: Publish) -> Event:
        if self._state.publish_tries:
            await asyncio.sleep(_PUBLISH_PAUSE_S)
        try:
            await asyncio.to_thread(self._hub.publish, order.version, order.note)
        except AimatError as error:
            return PublishFailed(refinement=order.refinement, reason=error.message)
        return Published(refinement=order.refinement, version=order.version)


def _task(function: Callable[..., Event]) -> Any:
    return ray.remote(function).options(num_cpus=1, max_retries=2)


class Refinement:
    """The actor as the training process sees it; a dead actor never stops the training.

    Args:
        name: Name of the actor; one per run.
        timeout_s: How long one call may take.
    """

    def __init__(self, name: str, timeout_s: float = CALL_TIMEOUT_S) -> None:
        self.name, self._timeout_s = name, timeout_s
        self._asked: Any = None

    @classmethod
    def start(cls, name: str, run_dir: Path, hub: SurrogateHub, work: Work, watched: tuple[str, ...]) -> Refinement:
        """Start the actor of a run."""
        reference = ray.put(work)
        handle = (
            ray.remote(RefinementActor)
            .options(
                name=name, namespace=NAMESPACE, get_if_exists=True, num_cpus=0, max_restarts=-1, max_task_retries=-1
            )
            .remote(str(run_dir.resolve()), hub, [reference], watched)
        )
        refinement = cls(name)
        # The objects live as long as their owner, this process: the actor can start again from them.
        refinement._keep = (handle, reference)
        refinement.status()
        return refinement

    def observe(self, window: Window, reference: NDArray[np.float64]) -> None:
        """Send a window; the answer is fetched later, see `poll`."""
        self._asked = self._actor().observe.remote(window, reference)

    def poll(self, timeout_s: float = 0.0) -> Status | None:
        """The answer to the last window, if it is there."""
        if self._asked is None:
            return None
        ready, _ = ray.wait([self._asked], timeout=timeout_s)
        if not ready:
            return None
        asked, self._asked = self._asked, None
        return self._result(asked)

    @property
    def waiting(self) -> bool:
        """Whether the answer to a window is still to come."""
        return self._asked is not None

    def status(self) -> Status:
        """Where the loop stands.

        Raises:
            ServiceError: The actor does not answer.
        """
        return self._result(self._actor().status.remote())

    def stop(self, reason: str) -> None:
        """Give up what is under way and end the actor."""
        try:
            self._result(self._actor().stop.remote(reason))
            ray.kill(self._actor(), no_restart=True)
        except (ServiceError, ValueError):
            return

    def _actor(self) -> Any:
        return self._keep[0]

    def _result(self, reference: Any) -> Status:
        try:
            status: Status = ray.get(reference, timeout=self._timeout_s)
        except GetTimeoutError:
            raise ServiceError(f"the refinement actor did not answer within {self._timeout_s:.0f} s") from None
        except RayActorError as error:
            raise ServiceError(f"the refinement actor is gone: {type(error).__name__}") from error
        except RayError as error:
            cause = getattr(error, "cause", None)
            raise ServiceError(f"the refinement actor failed: {cause or error!r}") from error
        return status

    _keep: tuple[Any, Any]
