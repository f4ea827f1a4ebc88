"""Runs one sink in a thread of its own, so that a slow or broken one never holds up the others.

inference ──put──▶ [ bounded mailbox ] ──▶ Sink.write
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any

from edge_runtime.laps import Laps
from edge_runtime.mailbox import Mailbox
from edge_runtime.stats import Stage

if TYPE_CHECKING:
    from edge_runtime.laps import Observer
    from edge_runtime.records import Record
    from edge_runtime.sinks.base import Result, Sink

log = logging.getLogger(__name__)


class SinkWorker:
    """Owns a sink from its first result to its end.

    `failure`: the line that says why the sink was given up, None while it works.
    `reader_gone`: it failed because nobody reads its pipe any more, which is no fault of ours.
    """

    def __init__(
        self, sink: Sink, header: Record, *, lossless: bool, observer: Observer | None = None
    ) -> None:
        self.name = sink.name
        self.failure: str | None = None
        self.reader_gone = False
        self.written = 0
        self.write_times = Stage()
        self._laps = Laps(f"sink {sink.name}", observer)
        self._sink = sink
        self._header = header
        self._results: Mailbox[Result] = Mailbox(sink.capacity, lossless=lossless)
        self.thread = threading.Thread(target=self._run, name=f"sink {sink.name}", daemon=True)

    @property
    def dropped(self) -> int:
        """Results thrown away because the sink was too slow, or at the end of a stop."""
        return self._results.dropped

    def put(self, result: Result) -> None:
        """Hand over one result; goes nowhere once the sink has failed or is being closed."""
        self._results.put(result)

    def finish(self, *, discard: bool = False) -> None:
        """No more results; what waits is still written, unless `discard`."""
        self._results.close(discard=discard)

    def summary(self) -> dict[str, Any]:
        """What it has done so far."""
        return {"name": self.name, "written": self.written, "dropped": self.dropped, "failure": self.failure}

    def _run(self) -> None:
        try:
            self._sink.start(self._header)
            for result in self._results:
                started_ns = self._laps.begin(result.frame.index)
                self._sink.write(result)
                self.write_times.add(self._laps.lap(f"sink {self.name}") - started_ns)
                self.written += 1
        except Exception as error:  # whatever breaks in one sink, the run goes on without it
            self._fail(error)
        try:
            self._sink.close()
        except Exception as error:  # see above
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        self._results.close()
        if self.failure is not None:
            return
        self.reader_gone = isinstance(error, BrokenPipeError)
        self.failure = f"{self.name} failed after {self.written} frame(s): {_reason(error)}"
        log.debug("%s", self.failure, exc_info=error)
        if not self.reader_gone:
            log.error("%s", self.failure)


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return str(error) or type(error).__name__
