"""Results for autopilots and ground stations: a MAVLink camera (component 100) and its companion (191).

record ──sink──▶ messages ──link──▶ UDP or serial ──▶ autopilot, ground station
                 commands ◀──link── (TRACK_RECTANGLE, STOP_TRACKING, SET_MESSAGE_INTERVAL, TIMESYNC, ...)
"""

from __future__ import annotations

from typing import Any

__all__ = ["MavlinkSink"]


def __getattr__(name: str) -> Any:
    """`MavlinkSink`, imported when asked for."""
    if name == "MavlinkSink":
        from edge_runtime.sinks.mavlink.sink import MavlinkSink

        return MavlinkSink
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
