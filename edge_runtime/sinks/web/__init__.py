"""The page a pilot watches: newest picture, what was found in it, how old that is, what was lost on the way.

Result ──sink──▶ [ newest only ] ◀──asks── one viewer per browser (server) ──▶ assets/page.{html,css,js}
"""

from __future__ import annotations

from typing import Any

__all__ = ["WebSink"]


def __getattr__(name: str) -> Any:
    """`WebSink`, imported when asked for."""
    if name == "WebSink":
        from edge_runtime.sinks.web.sink import WebSink

        return WebSink
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
