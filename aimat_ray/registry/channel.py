"""Names: which line of surrogate versions somebody follows, and what may be a name in the store."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Protocol

from aimat_ray.errors import ArtifactError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_RESERVED = frozenset({"current", "fits"})
CHECKSUM_DIGITS = 12


class ManifestLike(Protocol):
    """The fields of a bundle's manifest that choose its channel."""

    @property
    def name(self) -> str:
        """Name of the bundle."""

    @property
    def problem(self) -> str:
        """Name of the design problem."""

    @property
    def data_checksum(self) -> str:
        """Checksum of the data that the bundle was fitted on."""


def check_name(kind: str, name: str) -> str:
    """Return `name` if it may be a folder of the store.

    Raises:
        ArtifactError: Empty, too long, a path, or a word that the store uses itself.
    """
    if _NAME.fullmatch(name) and name not in _RESERVED:
        return name
    raise ArtifactError(
        f"{kind} {name!r} can't be a name in the surrogate store; expected letters, digits, '.', '_' or '-', "
        f"starting with a letter or digit, and none of: {', '.join(sorted(_RESERVED))}"
    )


@dataclass(frozen=True, slots=True)
class Channel:
    """One line of versions with one current version: a bundle name for one problem and one data set.

    Two data sets (say, measured and synthetic) have channels of their own, so that publishing a surrogate for
    one never moves the other. A run that refines its surrogate privately adds its own `run`.

    Attributes:
        name: Bundle name.
        problem: Name of the design problem.
        data: Checksum of the data, at least the first 12 digits.
        run: Run that owns the channel; empty for the channel that everybody shares.
    """

    name: str
    problem: str
    data: str
    run: str = ""

    def __post_init__(self) -> None:
        check_name("bundle name", self.name)
        check_name("channel", self.key)

    @classmethod
    def of(cls, manifest: ManifestLike, run: str = "") -> Channel:
        """The channel that a bundle with this manifest belongs to."""
        return cls(manifest.name, manifest.problem, manifest.data_checksum, run)

    @property
    def key(self) -> str:
        """What tells the channels of one bundle name apart; the name of the pointer file."""
        parts = [self.problem, self.data.removeprefix("sha256:")[:CHECKSUM_DIGITS], self.run]
        return "-".join(part for part in parts if part)

    def __str__(self) -> str:
        return f"{self.name}/{self.key}"
