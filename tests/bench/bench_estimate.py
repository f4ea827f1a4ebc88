"""Estimates against published latencies, the fit behind them, and what it says of a board left out of it.

python -m tests.bench.bench_estimate             the table of jetson/README.md, and the constants fitted again
python -m tests.bench.bench_estimate FILE.onnx   the work of a network, as `published_layers.csv` holds it
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from edge_runtime.profiling.estimate.graph import read_graph
from edge_runtime.profiling.estimate.layers import network_of
from edge_runtime.profiling.estimate.roofline import FITTED, PRECISIONS, predict
from tests.edge_runtime.profiling.estimate.published import COLUMNS, Case, cases, network, rows
from tests.edge_runtime.profiling.estimate.refit import NAMES, left_out, refit

if TYPE_CHECKING:
    from collections.abc import Iterable


def as_markdown(found: Iterable[Case]) -> str:
    """A row per board and network, a cell per precision: published ms and the range of the estimate."""
    cells: dict[tuple[str, str], dict[str, str]] = {}
    for case in found:
        prediction = predict(network(case.network), case.board, case.precision)
        assert prediction is not None
        inside = "in" if prediction.low_ms <= case.ms <= prediction.high_ms else "**not** in"
        text = f"{case.ms:.2f} {inside} {prediction.low_ms:.2f} to {prediction.high_ms:.2f}"
        cells.setdefault((case.board.name, case.network), {})[case.precision] = text
    lines = ["| board | network | FP32, ms | FP16, ms | INT8, ms |", "|---|---|---|---|---|"]
    for (board, name), by_precision in cells.items():
        columns = " | ".join(by_precision.get(precision, "") for precision in PRECISIONS)
        lines.append(f"| {board} | {name} | {columns} |")
    return "\n".join(lines)


def as_ratios(found: Iterable[Case]) -> str:
    """Per case: middle of the estimate over what is published, and the share of peak the published one is."""
    lines = []
    for case in found:
        work, peak = network(case.network), case.board.peak(case.precision)
        prediction = predict(work, case.board, case.precision)
        assert prediction is not None
        assert peak is not None
        share = work.flops / (case.ms * 1e-3) / peak
        ratio = prediction.expected_ms / case.ms
        lines.append(
            f"{case.board.name:<20} {case.network} {case.precision}  {ratio:.2f}  {share:4.0%} of peak"
        )
    return "\n".join(lines)


def main(*files: str) -> None:
    """Print the work of files, or the table and the fit."""
    if files:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(COLUMNS)
        for file in files:
            writer.writerows(rows(Path(file).stem, network_of(read_graph(Path(file))).layers))
        return
    found = cases()
    print(as_markdown(found))
    print("\nmiddle of the estimate / published")
    print(as_ratios(found))
    print("\nconstant           in use     fitted")
    again = refit(found)
    for name in NAMES:
        print(f"{name:<18} {getattr(FITTED, name):<10g} {getattr(again, name):.4g}")
    print("\nestimated / published of a board by constants fitted to the other two (FP16 and INT8)")
    for board, ratios in left_out(found).items():
        print(f"{board:<20} {ratios.min():.2f} to {ratios.max():.2f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
