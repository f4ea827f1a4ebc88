"""Opens what a `--sink` URI names; each kind lives in its own file, imported only when chosen.

uri ──open_sink──▶ Sink ◀── Result per frame
"""

from __future__ import annotations

import importlib
from typing import cast

from edge_runtime.errors import SinkError
from edge_runtime.live import RunContext
from edge_runtime.sinks.base import Result, Sink

__all__ = ["Result", "Sink", "open_sink"]

# scheme: module:class; a class takes (what stands behind the colon, force=, context=)
_BY_SCHEME = {
    "jsonl": "edge_runtime.sinks.jsonl:Jsonl",
    "video": "edge_runtime.sinks.video:VideoFile",
    "udp": "edge_runtime.sinks.udp:Udp",
    "mavlink": "edge_runtime.sinks.mavlink:MavlinkSink",
    "web": "edge_runtime.sinks.web:WebSink",
    "ros2": "edge_runtime.sinks.ros2:Ros2",
    "record": "edge_runtime.sinks.recorder:Recorder",
}
_EXAMPLES = {
    "jsonl": "jsonl:PATH",
    "video": "video:PATH.mp4",
    "udp": "udp://HOST:PORT",
    "mavlink": "mavlink:udpout:HOST:PORT",
    "web": "web://127.0.0.1:8080",
    "ros2": "ros2:TOPIC",
    "record": "record:DIR",
}


def open_sink(uri: str, *, force: bool = False, context: RunContext | None = None) -> Sink:
    """Open an output before the run starts, so that what cannot work is said at once.

    Args:
        uri: `jsonl:-` (stdout), `jsonl:PATH`, `video:PATH.mp4`, `udp://HOST:PORT`, `mavlink:...`,
            `web://HOST:PORT`, `ros2:TOPIC`.
        force: overwrite a file that exists.
        context: of the run; None is one of its own, for a sink without a pipeline.

    Raises:
        SinkError: unknown kind, no target, the file exists, or it cannot be created.
        MissingExtra: a package this kind of sink needs is not installed.
    """
    scheme, colon, target = uri.partition(":")
    if not colon or scheme not in _BY_SCHEME:
        raise SinkError(f"unknown sink {scheme!r}, expected {', '.join(_EXAMPLES.values())}")
    if not target:
        raise SinkError(f"sink {uri!r} names no target; give one, such as {_EXAMPLES[scheme]}")
    module, _, name = _BY_SCHEME[scheme].partition(":")
    kind = getattr(importlib.import_module(module), name)
    return cast("Sink", kind(target, force=force, context=context or RunContext()))
