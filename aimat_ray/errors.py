"""The exception tree. Every class survives pickling, because Ray sends errors between processes."""

from __future__ import annotations


class AimatError(Exception):
    """Base of every error that this package raises on purpose.

    Args:
        message: What was expected, what came, of which object, and what to do.
    """

    exit_code = 1

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class BadInputError(AimatError):
    """The user's input can't be used; the command line ends with exit code 2."""

    exit_code = 2


class CompositionError(BadInputError):
    """A formula or composition can't be read: unknown element, sum off, negative amount."""


class DataError(BadInputError):
    """A table of alloys can't be used: missing column, empty table, wrong checksum."""


class ConfigError(BadInputError):
    """A configuration value is unknown or out of range."""


class ProblemError(BadInputError):
    """A base, property or goal that the design problem does not know, or has no evidence for."""


class ArtifactError(BadInputError):
    """A stored model is missing, incomplete or does not match its checksum."""


class UnknownVersionError(BadInputError):
    """A request names a surrogate version that is not loaded."""


class RunError(BadInputError):
    """A run directory can't be written, read, or resumed with these inputs."""


class TrainingError(AimatError):
    """A run failed while it worked."""


class ServiceError(AimatError):
    """A running service (hub, Serve deployment, HTTP endpoint) is gone or answered wrongly."""


class OverloadError(ServiceError):
    """A service has as many requests as it can hold; ask again a little later."""
