"""Finds TensorRT in any of its forms and listens to what it says.

find_tensorrt() ──▶ TensorRT(module, version, name) ──log_of──▶ TrtLog ──collecting──▶ its lines, for errors
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import logging
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edge_runtime.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

log = logging.getLogger(__name__)

NAMES = ("tensorrt", "tensorrt_rtx")  # in this order; the Python API of both has the same names
OLDEST = (8, 5)  # the first with uint8 network inputs
STRONG_FROM = 10  # strongly typed networks: precision is what the file's tensors say
FLAGLESS_FROM = 11  # precision flags are gone, every network is strongly typed
SEVERITIES = ("INTERNAL_ERROR", "ERROR", "WARNING", "INFO", "VERBOSE")


@dataclass(frozen=True)
class TensorRT:
    """One TensorRT that was found.

    Attributes:
        module: the imported module; its objects are not typed for mypy.
        version: numbers of `module.__version__`, e.g. (10, 3, 0).
        name: "tensorrt" or "tensorrt_rtx".
        origin: the file it was imported from.
    """

    module: Any
    version: tuple[int, ...]
    name: str
    origin: str

    @property
    def label(self) -> str:
        """For people and cache keys, e.g. "tensorrt 10.3.0"."""
        return f"{self.name} {'.'.join(map(str, self.version))}"

    @property
    def has_flags(self) -> bool:
        """Whether precision can be asked for by builder flags (8.x and 10.x)."""
        return self.name == "tensorrt" and self.version[0] < FLAGLESS_FROM

    @property
    def strongly_typed(self) -> bool:
        """Whether precision can be taken from the file's own types (10 and newer, RTX)."""
        return self.name == "tensorrt_rtx" or self.version[0] >= STRONG_FROM


def find_tensorrt(names: Sequence[str] = NAMES) -> TensorRT:
    """The first of `names` that can be imported whole.

    Raises:
        EngineError: none is installed, one does not load, or it is older than `OLDEST`.
    """
    refused = []
    for name in names:
        try:
            module = importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name != name:
                refused.append(f"{name} does not load ({error})")
            continue
        except Exception as error:  # its libraries are loaded on import, and fail in many ways
            refused.append(f"{name} does not load ({_one_line(error)})")
            continue
        origin = str(getattr(module, "__file__", None) or next(iter(module.__path__)))
        if not hasattr(module, "Builder"):  # tensorrt-stubs, or a wheel without its libraries
            refused.append(f"{origin} has no Builder (type stubs, or a wheel without its libraries)")
            continue
        found = TensorRT(module, parse_version(module.__version__), name, origin)
        if found.name == "tensorrt" and found.version[:2] < OLDEST:
            refused.append(f"{found.label} is too old")
            continue
        return found
    why = "; ".join(refused) or f"none of {', '.join(names)} is installed for this Python"
    raise EngineError(
        f"no usable TensorRT: {why}; needed is TensorRT {'.'.join(map(str, OLDEST))} or newer: on a Jetson "
        "JetPack 5.1 or newer brings it (a virtual environment needs --system-site-packages)"
    )


def parse_version(text: str) -> tuple[int, ...]:
    """Leading numbers of a version: "10.3.0.26" -> (10, 3, 0, 26), "8.6.1.post1" -> (8, 6, 1)."""
    match = re.match(r"\d+(?:\.\d+)*", text)
    return tuple(int(part) for part in match[0].split(".")) if match else (0,)


@dataclass(frozen=True)
class LogLine:
    """One line of TensorRT's log; `severity` is one of `SEVERITIES`."""

    severity: str
    text: str


class TrtLog:
    """What TensorRT says, handed to whoever listens; `native` is the logger object its API wants.

    There is one per process (`log_of`): TensorRT keeps the first logger it is given for everything.
    """

    def __init__(self, module: Any) -> None:
        self._listeners: list[tuple[list[LogLine], Sequence[str]]] = []
        self.native = _native_logger(module, self._take)

    @contextlib.contextmanager
    def collecting(self, *, verbose: bool = False) -> Iterator[list[LogLine]]:
        """What is said while the context is open: errors and warnings, or every line with `verbose`."""
        lines: list[LogLine] = []
        listener = (lines, SEVERITIES if verbose else SEVERITIES[:3])
        self._listeners = [*self._listeners, listener]
        try:
            yield lines
        finally:
            self._listeners = [other for other in self._listeners if other is not listener]

    def _take(self, severity: str, text: str) -> None:  # called from any thread of TensorRT
        for lines, severities in self._listeners:
            if severity in severities:
                lines.append(LogLine(severity, text))
        if severity != "VERBOSE":
            log.debug("TensorRT: %s: %s", severity.lower(), text)


@functools.lru_cache(maxsize=None)
def log_of(module: Any) -> TrtLog:
    """The process's one log of the TensorRT `module`."""
    return TrtLog(module)


def complaints(lines: Sequence[LogLine], limit: int = 3) -> str:
    """The first error lines (warnings where there is none) as one line; "" when it said nothing."""
    for severities in (("INTERNAL_ERROR", "ERROR"), ("WARNING",)):
        said = list(dict.fromkeys(_squeezed(line.text) for line in lines if line.severity in severities))
        if said:
            return f"; TensorRT says: {' | '.join(said[:limit])}"
    return ""


def _native_logger(module: Any, take: Any) -> Any:
    class Logger(module.ILogger):  # type: ignore[misc]  # the base class is known only here
        def __init__(self) -> None:
            module.ILogger.__init__(self)

        def log(self, severity: Any, message: str) -> None:
            take(severity.name, message)

    return Logger()


def _squeezed(text: str) -> str:
    return " ".join(text.split())


def _one_line(error: Exception) -> str:
    return _squeezed(str(error)) or type(error).__name__
