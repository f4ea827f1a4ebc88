"""Opens what a `--sink` URI names; each kind lives in its own file, imported only when chosen.

uri ──open_sink──▶ Sink ◀── Result per frame
"""

from __future__ import annotations

import importlib
from typing import cast

from edge_runtime.errors import SinkError
from edge_runtime.sinks.base import Result, Sink

__all__ = ["Result", "Sink", "open_sink"]

# scheme: module:class; a class takes (target behind the colon, force)
_BY_SCHEME = {
    "jsonl": "edge_runtime.sinks.jsonl:Jsonl",
    "video": "edge_runtime.sinks.video:VideoFile",
}
_LATER = ("udp", "mavlink", "web")


def open_sink(uri: str, *, force: bool = False) -> Sink:
    """Open an output before the run starts, so that what cannot work is said at once.

    Args:
        uri: `jsonl:-` (stdout), `jsonl:PATH` or `video:PATH.mp4`.
        force: overwrite a file that exists.

    Raises:
        SinkError: unknown kind, no target, the file exists, or it cannot be created.
    """
    scheme, colon, target = uri.partition(":")
    if scheme in _LATER:
        raise SinkError(f"{uri}: {scheme} sinks are not yet supported by this version")
    if not colon or scheme not in _BY_SCHEME:
        kinds = ", ".join(f"{name}:TARGET" for name in _BY_SCHEME)
        raise SinkError(f"unknown sink {uri!r}, expected {kinds}")
    if not target:
        raise SinkError(f"sink {uri!r} names no file; give one, such as {scheme}:out")
    module, _, name = _BY_SCHEME[scheme].partition(":")
    return cast("Sink", getattr(importlib.import_module(module), name)(target, force=force))
