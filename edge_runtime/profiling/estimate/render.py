"""Estimates as text for people and as documents for machines; every form says that nothing was measured.

Estimate ──as_text, as_dict      all of `all_boards` ──choice_text, choice_dict
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edge_runtime import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge_runtime.profiling.estimate.estimate import Estimate
    from edge_runtime.profiling.estimate.roofline import Prediction

HEADING = "ESTIMATE, nothing was measured"
TOP_LAYERS = 8
_NAME_WIDTH = 44
_BASIS = {
    "this board": "published latencies of this board",
    "other Orin": "other Orin boards, not this one at this precision",
    "nothing": "nothing: no latency of this chip is published, hence the wide range",
}


def as_text(found: Estimate) -> str:
    """One board: range, what bounds it, headroom, memory, the slowest layers, and what to know."""
    model, board = found.model, found.board
    size = f"{model.input_hw[1]} x {model.input_hw[0]}" + (
        f", batch {model.batch}" if model.batch > 1 else ""
    )
    lines = [f"{HEADING}: {model.name} ({size}) as {found.precision} on {board.name}", ""]
    lines += _facts(found)
    if found.prediction is not None:
        lines += ["", *_layer_table(found.prediction)]
    return "\n".join([*lines, "", *(f"- {note}" for note in found.notes)])


def as_dict(found: Estimate) -> dict[str, Any]:
    """Version 1. Times in ms, memory in MB; `latency` and `headroom` are null where there is none to give."""
    model, board = found.model, found.board
    return {
        "v": 1,
        "type": "estimate",
        "measured": False,
        "software": {"name": "dips-edge", "version": __version__},
        "model": {
            "name": model.name,
            "precision": model.precision,
            "input": list(model.input_hw),
            "batch": model.batch,
            "gflops": round(model.network.flops / 1e9, 3),
            "weights_m": round(model.network.weights / 1e6, 3),
            "layers": len(model.network.layers),
        },
        "board": {
            "key": board.key,
            "name": board.name,
            "peak_tflops": _rounded(board.peak(found.precision), 1e12),
            "bandwidth_gbs": board.bandwidth_gbs,
            "memory_gb": board.memory_gb,
            "dla": board.dla,
            "power_modes": board.modes,
            "software": board.software,
            "unconfirmed": list(board.unconfirmed),
        },
        "precision": found.precision,
        "latency": None if found.prediction is None else _latency(found.prediction),
        "layers": [] if found.prediction is None else _top(found.prediction),
        "headroom": _headroom(found),
        "memory": {
            "needed": round(found.memory.needed_mb, 1),
            "usable": round(found.memory.usable_mb, 1),
            "fits": found.memory.fits,
            "weights": round(found.memory.weights_mb, 1),
            "between_layers": round(found.memory.between_layers_mb, 1),
            "assumed_runtime": found.memory.runtime_mb,
            "assumed_system": found.memory.system_mb,
        },
        "notes": list(found.notes),
    }


def choice_text(rows: Sequence[Estimate]) -> str:
    """The table of boards and precisions, one file's at one wished rate."""
    model, fps = rows[0].model, rows[0].fps
    flops = f"{model.network.flops / 1e9:.1f} GFLOP"
    lines = [f"{HEADING}: {model.name} ({model.input_hw[1]} x {model.input_hw[0]}, {flops})", ""]
    wished = "" if fps is None else f"{f'{fps:g} fps':>9}"
    lines.append(f"{'board':<21}{'precision':<11}{'ms':>15}{'fps':>14}{'memory':>9}{wished}  checked on")
    for row in rows:
        held = "" if fps is None else f"{row.holds() or '-':>9}"
        memory = "fits" if row.memory.fits else "too small"
        time = f"{'-':>15}{'-':>14}"
        basis = "no peak known"
        if row.prediction is not None:
            time = f"{_ms_range(row.prediction):>15}{_fps_range(row):>14}"
            basis = row.prediction.basis
        lines.append(f"{row.board.name:<21}{row.precision:<11}{time}{memory:>9}{held}  {basis}")
    lines += [
        "",
        "ms and fps are of the network call alone, at the highest power mode; from camera to box takes more.",
    ]
    if fps is not None:
        lines.append("yes: the whole range keeps up; perhaps: a part of it does; no: none of it.")
    return "\n".join(lines)


def choice_dict(rows: Sequence[Estimate]) -> dict[str, Any]:
    """Version 1: `as_dict` of every row."""
    return {"v": 1, "type": "estimate-choice", "measured": False, "rows": [as_dict(row) for row in rows]}


def _facts(found: Estimate) -> list[str]:
    board, memory = found.board, found.memory
    network = found.model.network
    size = f"{network.weights / 1e6:.2f} M weights, {len(network.layers)} layers"
    facts = [("work", f"{network.flops / 1e9:.2f} GFLOP, {size}")]
    if found.prediction is not None:
        shares = sorted(found.prediction.shares().items(), key=lambda share: -share[1])
        facts += [
            ("one inference", f"{_ms_range(found.prediction)} ms, {_fps_range(found)} fps"),
            ("checked on", _BASIS[found.prediction.basis]),
            ("bound by", ", ".join(f"{part} {share:.0%}" for part, share in shares)),
        ]
    used = found.budget_used()
    if used is not None:
        share = f"{used[0]:.0%} to {used[1]:.0%} of a frame's time"
        facts.append((f"at {found.fps:g} fps", f"{share}; keeps up: {found.holds()}"))
    own = memory.weights_mb + memory.between_layers_mb
    facts += [
        (
            "memory",
            f"{memory.needed_mb / 1e3:.1f} of {memory.usable_mb / 1e3:.1f} GB: "
            f"{'fits' if memory.fits else 'TOO SMALL'} (network {own:.0f} MB; assumed: this process "
            f"{memory.runtime_mb:.0f} MB, system {memory.system_mb:.0f} MB)",
        ),
        ("board", f"{board.bandwidth_gbs:g} GB/s, {board.modes}; {board.software}"),
    ]
    return [f"  {name:<15}{text}" for name, text in facts]


def _layer_table(prediction: Prediction) -> list[str]:
    lines = [f"  {'slowest layers':<{_NAME_WIDTH}}  {'kind':<14}{'ms':>7}{'share':>7}  bound by"]
    for layer in _top(prediction):
        name = layer["name"] if len(layer["name"]) <= _NAME_WIDTH else "…" + layer["name"][1 - _NAME_WIDTH :]
        time = f"{layer['ms']:>7.3f}{layer['share']:>7.1%}"
        lines.append(f"  {name:<{_NAME_WIDTH}}  {layer['op']:<14}{time}  {layer['bound']}")
    return lines


def _top(prediction: Prediction) -> list[dict[str, Any]]:
    slowest = sorted(prediction.layers, key=lambda layer: -layer.ms)[:TOP_LAYERS]
    return [
        {
            "name": time.layer.name,
            "op": time.layer.op,
            "precision": time.precision,
            "ms": round(time.ms, 4),
            "share": round(time.ms / prediction.expected_ms, 4),
            "bound": time.bound,
        }
        for time in slowest
    ]


def _latency(prediction: Prediction) -> dict[str, Any]:
    return {
        "low_ms": round(prediction.low_ms, 3),
        "expected_ms": round(prediction.expected_ms, 3),
        "high_ms": round(prediction.high_ms, 3),
        "checked_on": prediction.basis,
        "bound": {part: round(share, 4) for part, share in prediction.shares().items()},
    }


def _headroom(found: Estimate) -> dict[str, Any] | None:
    used = found.budget_used()
    if used is None:
        return None
    return {
        "fps": found.fps,
        "used_low": round(used[0], 4),
        "used_high": round(used[1], 4),
        "holds": found.holds(),
    }


def _ms_range(prediction: Prediction) -> str:
    return f"{_short(prediction.low_ms)} to {_short(prediction.high_ms)}"


def _fps_range(found: Estimate) -> str:
    assert found.prediction is not None
    frames = 1e3 * found.model.batch
    return f"{_short(frames / found.prediction.high_ms)} to {_short(frames / found.prediction.low_ms)}"


def _short(value: float) -> str:
    """Two significant digits, three after a leading 1: an estimate has no more."""
    digits = 3 if f"{value:.3e}".startswith("1") else 2
    return f"{float(f'{value:.{digits}g}'):g}"


def _rounded(value: float | None, unit: float) -> float | None:
    return None if value is None else round(value / unit, 2)
