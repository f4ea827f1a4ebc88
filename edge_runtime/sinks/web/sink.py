"""The `Sink` behind `web://HOST:PORT`: keeps the newest result for viewers, costs nothing without any."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from edge_runtime.errors import MissingExtra, SinkError
from edge_runtime.live import RunContext
from edge_runtime.sinks.web.board import Board
from edge_runtime.sinks.web.options import listen, parse

if TYPE_CHECKING:
    from edge_runtime.records import Record
    from edge_runtime.sinks.base import Result

log = logging.getLogger(__name__)


class WebSink:
    """A `Sink` that is a web page; reads a run, never steers it.

    Raises (constructor):
        SinkError: the address cannot be had, or others can reach it and no token was given.
        MissingExtra: the package `websockets` is not installed.
    """

    capacity = 2

    def __init__(self, target: str, *, force: bool = False, context: RunContext | None = None) -> None:
        try:
            from edge_runtime.sinks.web.server import Server
        except ModuleNotFoundError as error:
            raise MissingExtra("websockets", "guidance", "a web: sink") from error
        options = parse(target)
        bound = listen(options)
        self._options = replace(options, port=bound.getsockname()[1])
        self.name = f"web:{self._options.url.partition(':')[2].rstrip('/')}"
        self.board = Board(context or RunContext(), options.width)
        self.server = Server(bound, self.board, token=options.token, fps=options.fps)

    @property
    def url(self) -> str:
        """Of the page, without its token."""
        return self._options.url

    def start(self, header: Record) -> None:
        """Serve the page."""
        self.board.header = header
        self.server.start()
        log.info("web page at %s%s", self.url, "?token=..." if self._options.token else "")

    def write(self, result: Result) -> None:
        """Keep the result until the next one comes. Raises SinkError when the server has broken off."""
        if self.server.failure is not None:
            raise SinkError(f"the web server broke off: {self.server.failure} (-v shows where)")
        self.board.put(result)

    def close(self) -> None:
        """Stop serving; within a second."""
        self.server.stop()
