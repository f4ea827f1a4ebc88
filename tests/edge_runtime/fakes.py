"""Sources, backends and sinks that do what a test tells them to, in as much time as it says."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edge_runtime.frames import Frame
from tests.edge_runtime.conftest import CONTRACT, square_frame

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edge_runtime.contract import ModelContract
    from edge_runtime.records import Record
    from edge_runtime.sinks import Result


class FakeSource:
    """`count` frames, `period_s` apart; raises `error` at their end if given; blocks for good if `hangs`."""

    name = "fake"
    fps: float | None = 25.0
    size: tuple[int, int] | None = (128, 96)
    skipped = 0
    reconnects = 0
    connected = True

    def __init__(
        self,
        count: int,
        *,
        live: bool = False,
        period_s: float = 0.0,
        error: Exception | None = None,
        hangs: bool = False,
    ) -> None:
        self.live = live
        self.closed = False
        self.delivered = 0
        self._count, self._period_s, self._error, self._hangs = count, period_s, error, hangs

    def __iter__(self) -> Iterator[Frame]:
        for index in range(self._count):
            time.sleep(self._period_s)
            self.delivered += 1
            image = square_frame()
            image[-1, -1] = index % 251  # no two frames of a camera are the same
            yield Frame(image, index, time.monotonic_ns())
        if self._hangs:
            threading.Event().wait()
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        self.closed = True


class FakeBackend:
    """A warm square in every map, after `seconds`; raises `error` at frame `fails_at` if given."""

    name = "fake"
    path = Path("fake.onnx")
    contract: ModelContract = CONTRACT

    def __init__(
        self,
        seconds: float = 0.0,
        *,
        error: Exception | None = None,
        fails_at: int = 0,
        fill: float = 0.0,
    ) -> None:
        self.closed = False
        self.calls = 0
        self._seconds, self._error, self._fails_at = seconds, error, fails_at
        self._map = np.full((64, 64), fill, np.float32)
        self._map[16:40, 20:40] = 0.9

    def infer(self, frames_u8: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        assert frames_u8.shape == (1, 64, 64, 3)
        assert frames_u8.dtype == np.uint8
        self.calls += 1
        if self._error is not None and self.calls > self._fails_at:
            raise self._error
        time.sleep(self._seconds)
        return self._map[None], np.array([[0.2, 0.8]], np.float32)

    def close(self) -> None:
        self.closed = True


class FakeSink:
    """Keeps what it is given; takes `seconds` for each; raises `error` at result `fails_at` if given."""

    def __init__(
        self,
        name: str = "fake:",
        seconds: float = 0.0,
        *,
        error: Exception | None = None,
        fails_at: int = 0,
        capacity: int = 4,
        close_error: Exception | None = None,
    ) -> None:
        self.name, self.capacity = name, capacity
        self.headers: list[Record] = []
        self.records: list[Record] = []
        self.closed = False
        self._seconds, self._error, self._fails_at, self._close_error = seconds, error, fails_at, close_error

    def start(self, header: Record) -> None:
        self.headers.append(header)

    def write(self, result: Result) -> None:
        if self._error is not None and len(self.records) >= self._fails_at:
            raise self._error
        time.sleep(self._seconds)
        self.records.append(result.record)

    def close(self) -> None:
        self.closed = True
        if self._close_error is not None:
            raise self._close_error
