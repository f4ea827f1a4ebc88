"""Whether two profiles may be compared at all: what differs besides the times."""

from __future__ import annotations

from typing import Any

from edge_runtime.profiling.words import MODES, plain, span, throttling

# A time of one says little about the other where these differ.
_CONDITIONS = (
    ("machine", "board", "board"),
    ("machine", "cpu", "CPU"),
    ("machine", "cores", "CPU cores"),
    ("machine", "gpu", "GPU"),
    ("machine", "power_mode", "power mode"),
    ("machine", "clocks_fixed", "fixed clocks"),
    ("model", "sha256", "model file (sha256)"),
    ("model", "precision", "precision"),
    ("model", "backend", "backend"),
    ("model", "input", "input size"),
    ("model", "threads", "threads of an inference"),
    ("source", "name", "source"),
    ("source", "live", "live source"),
    ("source", "size", "source size"),
    ("settings", "deadline_ms", "deadline in ms"),
    ("settings", "soak_s", "soak in s"),
)
# These may be what one wants to compare.
_SOFTWARE = (
    ("software", "version", "dips-edge"),
    ("machine", "l4t", "L4T"),
    ("machine", "jetpack", "JetPack"),
    ("machine", "os", "OS"),
    ("machine", "cuda", "CUDA"),
    ("machine", "tensorrt", "TensorRT"),
    ("machine", "python", "Python"),
    ("model", "name", "model name"),
    ("model", "run_id", "training run"),
    ("model", "engine_sha256", "engine (sha256)"),
)


def warnings(a: dict[str, Any], b: dict[str, Any]) -> tuple[str, ...]:
    """Unlike conditions: each makes a verdict doubtful."""
    found = _unlike(_CONDITIONS, a, b)
    for mode in MODES:
        if bool(a[mode]) != bool(b[mode]):
            found.append(f"{mode} was measured only in {'a' if a[mode] else 'b'}: not compared")
    return tuple(found)


def differences(a: dict[str, Any], b: dict[str, Any]) -> tuple[str, ...]:
    """Unlike software."""
    found = _unlike(_SOFTWARE, a, b)
    of_a, of_b = a["machine"]["packages"], b["machine"]["packages"]
    for name in sorted({*of_a, *of_b}):
        if of_a.get(name) != of_b.get(name):
            found.append(_said(name, of_a.get(name), of_b.get(name)))
    return tuple(found)


def notes(a: dict[str, Any], b: dict[str, Any]) -> tuple[str, ...]:
    """What each report says against itself."""
    found = []
    for name, report in (("a", a), ("b", b)):
        if report["partial"] is not None:
            found.append(f"{name} is partial: {plain(report['partial'])}")
        if report["machine"]["clocks_fixed"] is False:
            found.append(f"{name}: clocks were not fixed, its times move with the governor")
        throttled = throttling(report["board"]) if report["board"] else None
        if throttled:
            found.append(f"{name}: {throttled}")
    lengths = [report[mode]["seconds"] for mode in MODES for report in (a, b) if report[mode]]
    if min(lengths) < 1.0:
        found.append(f"one run measured for {span(min(lengths))} only: a second or more tells more")
    return tuple(found)


def _unlike(keys: tuple[tuple[str, str, str], ...], a: dict[str, Any], b: dict[str, Any]) -> list[str]:
    return [
        _said(name, a[part][key], b[part][key]) for part, key, name in keys if a[part][key] != b[part][key]
    ]


def _said(name: str, a: Any, b: Any) -> str:
    return f"{plain(name, 60)}: {_value(a)} in a, {_value(b)} in b"


def _value(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return "x".join(map(str, value))
    text = plain(value, 60)
    return text[:12] if len(text) == 64 or len(str(value)) == 64 else text
