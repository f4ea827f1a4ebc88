"""The table `export` prints: what each precision costs and what it keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from export.gate import Measured

HEAD = ("file", "MB", "box acc %", "presence errors", "map error", "box IoU", "CPU ms")


def table(rows: Sequence[Measured]) -> str:
    """One aligned line per file; map error (mean) and box IoU (mean, first boxes) are against fp32.

    CPU ms is ONNX Runtime on this machine: it says nothing about a board, and the int8 files for TensorRT
    are slow there.
    """
    cells = [HEAD, *(_cells(row) for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(HEAD))]
    lines = []
    for first, *rest in cells:
        right = [cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True)]
        lines.append("  ".join([first.ljust(widths[0]), *right]))
    return "\n".join(lines)


def row_json(row: Measured) -> dict[str, Any]:
    """The same for `--json`."""
    return {
        "precision": row.precision,
        "target": row.target,
        "bytes": row.size,
        "box_acc": row.box_accuracy,
        "presence_errors": row.presence_errors,
        "photos": row.photos,
        "versus_fp32": None if row.versus is None else row.versus.rounded(),
        "cpu_ms": round(row.latency_ms, 2),
    }


def _cells(row: Measured) -> tuple[str, ...]:
    name = row.precision if row.target == "any" else f"{row.precision} {row.target}"
    accuracy, errors = row.box_accuracy, row.presence_errors
    versus = row.versus
    return (
        name,
        f"{row.size / 1e6:.1f}",
        "-" if accuracy is None else f"{accuracy:.1f}",
        "-" if errors is None else f"{errors} of {row.photos}",
        "-" if versus is None else f"{versus.map_mean:.1e}",
        "-" if versus is None else f"{versus.mean_iou:.4f}",
        f"{row.latency_ms:.1f}",
    )
