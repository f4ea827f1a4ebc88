"""A sink that flies, and a station at the other end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from edge_runtime.live import RunContext
from tests.edge_runtime.mavlink import flights

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def context() -> RunContext:
    """Of a pipeline that is healthy."""
    context = RunContext()
    context.health.recover()
    return context


@pytest.fixture
def fly(context: RunContext) -> Iterator[Callable[..., object]]:
    """`fly(target, **header)` opens a sink and starts it; closed at the end of the test."""
    from edge_runtime.sinks.mavlink import MavlinkSink

    opened = []

    def fly(target: str, **header: object) -> MavlinkSink:
        sink = MavlinkSink(target, context=context)
        opened.append(sink)
        sink.start(flights.header(**header))
        return sink

    yield fly
    for sink in opened:
        sink.close()
