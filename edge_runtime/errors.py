"""The one tree of errors a user can cause; the command line turns each into one line and exit code 1.

DipsEdgeError
├── UsageError       a flag or a combination of flags that cannot work (exit code 2)
├── DatasetError     photos, labels or boxes that are missing or wrong
├── ModelError       a model file or run directory that is not ours, or is damaged
├── EngineError      TensorRT that is missing or too old, or an engine that cannot be built or run
├── SourceError      a camera, video or folder that cannot be opened or read
├── SinkError        an output that cannot be opened or written
├── TrainingError    training cannot start or go on
├── ProfileError     a profile that cannot be made, read or compared, or a board nobody knows
└── MissingExtra     an optional package that is not installed

A message says what was expected, what came, and what to do next.
"""


class DipsEdgeError(Exception):
    """Base of everything a user can mend; `str()` of it is the line shown."""

    exit_code = 1


class UsageError(DipsEdgeError):
    """A flag, or a combination of flags, that cannot work."""

    exit_code = 2


class DatasetError(DipsEdgeError):
    """Photos, labels or boxes that are missing, unreadable or contradictory."""


class ModelError(DipsEdgeError):
    """A model file or run directory that is missing, damaged or not ours."""


class EngineError(DipsEdgeError):
    """TensorRT is missing or too old, or an engine cannot be built, loaded or run."""


class SourceError(DipsEdgeError):
    """A camera, video or folder that cannot be opened or read."""


class SinkError(DipsEdgeError):
    """An output that cannot be opened or written."""


class TrainingError(DipsEdgeError):
    """Training cannot start or cannot go on."""


class ProfileError(DipsEdgeError):
    """A profile that cannot be made, read or compared, or an estimate for a board nobody knows."""


class MissingExtra(DipsEdgeError):
    """An optional package is needed and not installed; names the extra to install."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs the package {package!r}, which is not installed: "
            f"pip install 'dips-edge[{extra}]'"
        )
