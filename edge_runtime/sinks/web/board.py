"""Between the thread that writes results and the one that serves them: the newest result, coded on demand.

sink thread ──put──▶ [ newest ] ──newer_than──▶ viewers ──reply──▶ bytes of one answer

Nothing is scaled or coded before a viewer asks, and once for all viewers who ask for the same picture.
"""

from __future__ import annotations

import asyncio
import json
import logging
import struct
from time import monotonic_ns
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from edge_runtime.sinks.web.history import BIN_NS, History

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edge_runtime.live import RunContext
    from edge_runtime.records import Record
    from edge_runtime.sinks.base import Result

log = logging.getLogger(__name__)

_QUALITY = 75
_MAP_SIDE = 96
_STATS_EVERY_NS = BIN_NS


class Board:
    """The newest result of a run and its live figures; `put` from one thread, the rest from the loop's."""

    def __init__(self, context: RunContext, width: int) -> None:
        """`width`: longer side of a coded picture, pixels; smaller frames stay as they are."""
        self.header: Record = {}
        self._context = context
        self._width = width
        self._history = History()
        self._newest: Result | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: set[asyncio.Future[None]] = set()
        self._picture: tuple[Result | None, bytes] = (None, b"")
        self._stats: dict[str, Any] = {}
        self._stats_ns = -_STATS_EVERY_NS
        self.encoded = 0  # pictures coded so far

    def put(self, result: Result) -> None:
        """The newest result; wakes who waits for one. Takes microseconds."""
        self._history.add(result.record)
        self._newest = result
        loop = self._loop
        if self._waiting and loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self.wake)

    async def newer_than(self, seen: Result | None, timeout_s: float) -> Result | None:
        """The newest result once it is another one than `seen`; None when `timeout_s` passes without."""
        self._loop = asyncio.get_running_loop()
        if self._newest is seen:
            arrival: asyncio.Future[None] = self._loop.create_future()
            self._waiting.add(arrival)
            if self._newest is seen:  # none came before we were in the list
                await asyncio.wait([arrival], timeout=timeout_s)
            self._waiting.discard(arrival)
        return None if self._newest is seen else self._newest

    def reply(
        self, result: Result | None, *, heat: bool, asked_ns: int, with_live: bool, with_header: bool
    ) -> bytes:
        """One answer: length (4 bytes, big endian) and JSON, length and JPEG, then the map's bytes.

        JSON: `held_ms` since the question came; if wanted `stats` as `Pipeline.live_stats` and `history` as
        `History.until`, and the run's `header`; with a result `record`, `age_ms` since capture as this is
        sent, and with `heat` the map's size `map`, [width, height]. Without a result no JPEG.
        """
        body: dict[str, Any] = {}
        if with_live:
            body.update(self._live())
        if with_header:
            body["header"] = self.header
        picture, score_map = b"", b""
        if result is not None:
            picture = self._jpeg(result)
            body["record"] = result.record
            if heat:
                small = _fit(result.score_map, _MAP_SIDE)
                score_map = (np.clip(small, 0, 1) * 255).astype(np.uint8).tobytes()
                body["map"] = [small.shape[1], small.shape[0]]
        now_ns = monotonic_ns()
        body["held_ms"] = (now_ns - asked_ns) / 1e6
        if result is not None:
            body["age_ms"] = (now_ns - result.record["t_cap_mono_ns"]) / 1e6
        text = json.dumps(body, separators=(",", ":"), default=str).encode()
        return b"".join(
            (struct.pack(">I", len(text)), text, struct.pack(">I", len(picture)), picture, score_map)
        )

    def wake(self) -> None:
        """End every wait for a result; called in the loop's thread."""
        for arrival in self._waiting:
            if not arrival.done():
                arrival.set_result(None)

    def _jpeg(self, result: Result) -> bytes:
        if self._picture[0] is not result:
            image = _fit(result.frame.image_bgr_u8, self._width)
            _, coded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
            self._picture = (result, coded.tobytes())
            self.encoded += 1
        return self._picture[1]

    def _live(self) -> dict[str, Any]:
        """Figures and history, made anew twice a second at most, for however many viewers."""
        now_ns = monotonic_ns()
        if now_ns - self._stats_ns >= _STATS_EVERY_NS:
            self._stats_ns = now_ns
            try:
                stats = self._context.stats()
            except Exception as error:  # figures are an extra: the picture goes on without them
                log.debug("no live figures", exc_info=error)
                stats = {}
            self._stats = {"stats": stats, "history": self._history.until(now_ns)}
        return self._stats


def _fit(image: NDArray[Any], longest: int) -> NDArray[Any]:
    """The image, scaled down so that its longer side has at most `longest` pixels."""
    height, width = image.shape[:2]
    scale = longest / max(height, width)
    if scale >= 1:
        return image
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)
