"""Runs the network and, when it breaks, loads it anew: at once, then with growing pauses.

frame ──EngineGuard.infer──▶ map and class probabilities, or None while the engine is down
"""

from __future__ import annotations

import logging
from time import monotonic_ns
from typing import TYPE_CHECKING

from edge_runtime.errors import DipsEdgeError

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from edge_runtime.backends.base import Backend

log = logging.getLogger(__name__)

FIRST_PAUSE_MS = 100.0  # before the second try; the first is at once
LONGEST_PAUSE_MS = 5000.0
MOST_TRIES_OF_A_FILE = 3  # failures in a row; a camera goes on for ever


class EngineGuard:
    """Owns the backend of a run; used and closed by the inference thread.

    `reason`: why it is down, None while it works. `failures`, `reloads`: how often it broke and came back.
    """

    def __init__(
        self, backend: Backend, reopen: Callable[[], Backend] | None = None, *, endless: bool = True
    ) -> None:
        """`reopen`: opens the same model again; None leaves errors to the caller.

        `endless`: try again for ever, in between `infer` answers None at once. Otherwise every call tries,
        and what broke `MOST_TRIES_OF_A_FILE` times in a row is raised.
        """
        self.reason: str | None = None
        self.down_since_ns: int | None = None
        self.failures = self.reloads = 0
        self._backend: Backend | None = backend
        self._reopen = reopen
        self._endless = endless
        self._in_a_row = 0
        self._next_try_ns = 0

    def infer(self, image: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]] | None:
        """(H, W, 3) uint8 at the network's size to its map (H, W) and class probabilities (K,) float32.

        None while the engine is down.
        """
        try:
            backend = self._opened()
            if backend is None:
                return None
            maps, class_probs = backend.infer(image[None])
        except Exception as error:  # whatever a driver raises, the flight goes on
            self._failed(error)
            return None
        if self.reason is not None:
            self._is_back()
        return maps[0], class_probs[0]

    def down_s(self, now_ns: int) -> float:
        """Seconds since it broke, 0 while it works."""
        since_ns = self.down_since_ns
        return 0.0 if since_ns is None else (now_ns - since_ns) / 1e9

    def close(self) -> None:
        """Release the engine."""
        backend, self._backend = self._backend, None
        if backend is not None:
            backend.close()

    def _opened(self) -> Backend | None:
        if self._backend is None and self._reopen is not None and monotonic_ns() >= self._next_try_ns:
            self._backend = self._reopen()
        return self._backend

    def _failed(self, error: Exception) -> None:
        self.failures += 1
        self._in_a_row += 1
        give_up = self._reopen is None or (not self._endless and self._in_a_row >= MOST_TRIES_OF_A_FILE)
        if give_up:
            raise error
        if self.reason is None:
            log.warning("the engine failed and is loaded anew: %s", _line(error))
            self.down_since_ns = monotonic_ns()
        log.debug("engine failure %d in a row", self._in_a_row, exc_info=error)
        self.reason = _line(error)
        self._close_broken()
        pause_ms = min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** min(self._in_a_row - 2, 16))
        if self._endless and self._in_a_row > 1:
            self._next_try_ns = monotonic_ns() + int(pause_ms * 1e6)

    def _close_broken(self) -> None:
        try:
            self.close()
        except Exception as error:  # a broken engine may refuse this, too
            log.debug("the broken engine could not be closed", exc_info=error)

    def _is_back(self) -> None:
        log.info("the engine is back after %d failure(s) in a row", self._in_a_row)
        self.reloads += 1
        self.reason = self.down_since_ns = None
        self._in_a_row = 0


def _line(error: Exception) -> str:
    text = str(error).splitlines()[0] if str(error) else "no reason given"
    return text if isinstance(error, DipsEdgeError) else f"{type(error).__name__}: {text}"
