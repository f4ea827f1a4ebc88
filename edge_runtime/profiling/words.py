"""What the table and the page say alike: one wording and one rounding for each fact of a report."""

from __future__ import annotations

import functools
from typing import Any

MODES = {"pipeline": "whole pipeline", "engine": "engine alone"}

BOARD_RANGES = (  # label, key of the summary, how many of its units make one of the label's
    ("power W", "power_w", 1.0),
    ("GPU MHz", "gpu_mhz", 1.0),
    ("CPU MHz (mean of cores)", "cpu_mhz", 1.0),
    ("EMC MHz", "emc_mhz", 1.0),
    ("memory of the process MB", "rss_bytes", 1e6),
)
NO_THROTTLING = {True: "no throttling seen", False: "throttling: cannot be told on this machine"}


@functools.lru_cache(maxsize=4096, typed=True)
def plain(text: object, most: int = 200) -> str:
    """A name from outside on one line: no control characters, escapes or bidi marks; cut in the middle."""
    shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in str(text))
    if len(shown) <= most:
        return shown
    tail = (most - 1) // 2
    return shown[: most - 1 - tail] + "…" + shown[len(shown) - tail :]


def ms(value: float | None) -> str:
    """Three or more significant digits, two decimals up to 100 ms; "-" for None."""
    if value is None:
        return "-"
    if value and abs(value) < 0.995:
        return f"{value:.3f}"
    return (
        f"{value:.2f}" if abs(value) < 99.995 else f"{value:.1f}" if abs(value) < 9999.95 else f"{value:.0f}"
    )


def cell(value: float | None) -> str:
    """Two decimals where there is room for them, so that a column of a table lines up; "-" for None."""
    if value is None:
        return "-"
    return f"{value:.2f}" if value < 9999.995 else f"{value:.0f}"


def percent(share: float) -> str:
    """A share as percent; small ones are never rounded to nothing, large ones never to all."""
    value = 100 * share
    if value in (0, 100):
        return f"{value:.0f} %"
    if 0 < value < 0.01:
        return "< 0.01 %"
    if 99.99 < value < 100:
        return "> 99.99 %"
    digits = 2 if value < 1 or 99 < value < 100 else 1 if value < 10 else 0
    return f"{value:.{digits}f} %"


def machine(report: dict[str, Any]) -> str:
    """Board or CPU, power mode, clocks."""
    facts = report["machine"]
    name = facts["board"] or facts["cpu"] or facts["os"]
    parts = [plain(name, 80)]
    if not facts["board"]:
        parts.append(some(facts["cores"], "core"))
        if facts["gpu"]:
            parts.append(plain(facts["gpu"], 60))
    if facts["power_mode"]:
        parts.append(plain(facts["power_mode"], 40))
    if facts["clocks_fixed"] is not None:
        parts.append("clocks fixed" if facts["clocks_fixed"] else "clocks not fixed")
    return ", ".join(parts)


def model(report: dict[str, Any]) -> str:
    """Name, precision, backend, input."""
    return f"{plain(report['model']['name'], 80)} ({model_facts(report)})"


def model_facts(report: dict[str, Any]) -> str:
    """Precision, backend, input."""
    facts = report["model"]
    height, width = facts["input"]
    parts = [plain(facts["precision"], 20), plain(facts["backend"], 40), f"{width}x{height} px"]
    if facts["threads"]:
        parts.append(some(facts["threads"], "thread"))
    return ", ".join(parts)


def source(report: dict[str, Any]) -> str:
    """Name, size, rate."""
    facts = report["source"]
    parts = [plain(facts["name"], 100)]
    if facts["size"]:
        parts.append("{}x{} px".format(*facts["size"]))
    if facts["fps"]:
        parts.append(f"{facts['fps']:.4g} fps")
    return ", ".join([*parts, "live"] if facts["live"] else parts)


def settings(report: dict[str, Any]) -> str:
    """How much was asked for, and the deadline."""
    facts = report["settings"]
    parts = [f"{some(facts['warmup'], 'frame')} of warm-up"]
    if facts["soak_s"]:
        parts.append(f"soak of {span(facts['soak_s'])}")
    elif facts["duration_s"]:
        parts.append(span(facts["duration_s"]))
    if facts["count"]:
        parts.append(some(facts["count"], "frame"))
    return ", ".join([*parts, f"deadline {facts['deadline_ms']:.4g} ms"])


def some(count: int, what: str) -> str:
    """A count and its noun."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def span(seconds: float) -> str:
    """A length of time for people."""
    if seconds < 120:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.3g} min" if seconds < 7200 else f"{seconds / 3600:.3g} h"


def missed(mode: dict[str, Any], deadline_ms: float) -> str:
    """How many frames were later than the deadline, in words."""
    count, frames = mode["missed"]["count"], some(mode["frames"], "frame")
    if not count:
        return f"none of {frames} missed the deadline of {deadline_ms:.4g} ms"
    share = percent(mode["missed"]["share"])
    return f"{count} of {frames} missed the deadline of {deadline_ms:.4g} ms ({share})"


def is_fan(cooling: str) -> bool:
    """Whether a cooling device is a fan: one that turns slows nothing down."""
    return "fan" in cooling.lower()


def throttling(board: dict[str, Any]) -> str | None:
    """Throttling and over-current events in words; None where there were none."""
    summary, said = board["summary"], []
    if summary["throttled_s"]:
        said.append(f"throttled for {span(summary['throttled_s'])}")
    if summary["oc_events"]:
        said.append(some(summary["oc_events"], "over-current event"))
    return " and ".join(said) or None


def counts(mode: dict[str, Any]) -> str:
    """What became of the frames of a pipeline, and the CPU time of the process."""
    said = [f"boxes in {mode['found']}, {mode['valid']} valid, {mode['dropped']} dropped"]
    cpu = mode["cpu"]
    if cpu["cores_busy"] is not None:
        said.append(f"process: {cpu['cores_busy']:.2f} cores busy")
    if cpu["ms_per_frame"] is not None:
        said.append(f"{ms(cpu['ms_per_frame'])} ms of CPU per frame")
    return ", ".join(said)


def energy(facts: dict[str, Any]) -> str:
    """Energy per frame, power, and where it was measured."""
    return f"{facts['mj_per_frame']:.4g} mJ per frame, {facts['mean_w']:.3g} W on {plain(facts['rail'], 40)}"


def moment(t_utc: str) -> str:
    """`2026-11-28T14:20:00Z` as people write it; anything else as it is."""
    if len(t_utc) >= 20 and t_utc[10] == "T" and t_utc.endswith("Z"):
        return f"{t_utc[:10]} {t_utc[11:16]} UTC"
    return plain(t_utc, 40)
