"""Layer times as onnxruntime measures them itself, in a session of its own that writes a profile.

model, frames ──runs──▶ profile (JSON, a temporary file) ──▶ mean per node
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_runtime.backends.base import LayerTime

if TYPE_CHECKING:
    from collections.abc import Callable

_SUFFIX = "_kernel_time"
WARMUP = 3  # first runs allocate


def time_layers(
    open_session: Callable[[str], Any], outputs: list[str], feed: dict[str, Any], runs: int
) -> list[LayerTime]:
    """Mean over `runs` inferences of each node, after fusing, in the order of execution.

    `open_session(prefix)`: a session that writes its profile to a file whose name begins so.
    """
    with tempfile.TemporaryDirectory(prefix="dips-edge-") as folder:
        session = open_session(str(Path(folder) / "layers"))
        for _ in range(WARMUP + runs):
            session.run(outputs, feed)
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    return _means(events, runs)


def _means(events: list[dict[str, Any]], runs: int) -> list[LayerTime]:
    found: dict[str, list[int]] = {}
    kinds: dict[str, str] = {}
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith(_SUFFIX):
            name = event["name"][: -len(_SUFFIX)]
            found.setdefault(name, []).append(event["dur"])
            kinds[name] = event["args"].get("op_name", "unknown")
    return [LayerTime(name, kinds[name], sum(us[-runs:]) / runs / 1e3) for name, us in found.items()]
