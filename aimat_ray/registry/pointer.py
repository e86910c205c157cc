"""The state of one channel: which version is current, how it got there. Pure: state in, state out.

`line` is a stack: publishing pushes, rolling back pops. `history` only grows, so it also tells of versions that
were rolled back. `serial` grows by one with every change, rollbacks included; followers compare serials, not versions.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from aimat_ray.errors import ArtifactError


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


class PointerEvent(_Frozen):
    """One change of a channel.

    Attributes:
        serial: Number of the change, from 1.
        kind: What was done.
        version: The version that is current afterwards.
        at: Time in UTC, ISO 8601.
        note: Why, in the words of whoever did it.
        request: Identity of the request; a repeated request changes nothing.
    """

    serial: int
    kind: Literal["publish", "rollback"]
    version: str
    at: str
    note: str = ""
    request: str = ""


class Pointer(_Frozen):
    """The current version of a channel, with everything that was current before."""

    schema_version: Literal[1] = 1
    channel: str
    serial: int = 0
    line: tuple[str, ...] = ()
    history: tuple[PointerEvent, ...] = ()

    @property
    def current(self) -> str | None:
        """The version that answers now; None before the first publication."""
        return self.line[-1] if self.line else None

    @property
    def previous(self) -> str | None:
        """The version that a rollback returns to."""
        return self.line[-2] if len(self.line) > 1 else None

    def published(self, version: str, at: str, note: str = "", request: str = "") -> Pointer:
        """The state after `version` becomes current; unchanged if it is already or the request was seen."""
        if version == self.current or self._seen(request):
            return self
        return self._after("publish", (*self.line, version), at, note, request)

    def rolled_back(self, at: str, note: str = "", request: str = "", expected_serial: int | None = None) -> Pointer:
        """The state after the previous version becomes current again.

        With `expected_serial`, only if the channel has not changed since: of several replicas that refuse one
        version, one takes it back and the others change nothing.

        Raises:
            ArtifactError: There is no previous version.
        """
        if self._seen(request) or expected_serial not in (None, self.serial):
            return self
        if self.previous is None:
            raise ArtifactError(
                f"channel {self.channel}: nothing to roll back to; current is {self.current or 'nothing'} "
                "and no earlier version was published"
            )
        return self._after("rollback", self.line[:-1], at, note, request)

    def _seen(self, request: str) -> bool:
        return bool(request) and any(event.request == request for event in self.history)

    def _after(
        self, kind: Literal["publish", "rollback"], line: tuple[str, ...], at: str, note: str, request: str
    ) -> Pointer:
        event = PointerEvent(serial=self.serial + 1, kind=kind, version=line[-1], at=at, note=note, request=request)
        return self.model_copy(update={"serial": event.serial, "line": line, "history": (*self.history, event)})


def parse_pointer(text: str, source: str) -> Pointer:
    """Read a pointer file's text.

    Raises:
        ArtifactError: Not the JSON of a `Pointer`.
    """
    try:
        return Pointer.model_validate_json(text)
    except ValidationError as error:
        raise ArtifactError(
            f"pointer file {source} can't be read ({error.error_count()} errors); expected the JSON of a channel. "
            "Move the file away and publish the version again"
        ) from error
