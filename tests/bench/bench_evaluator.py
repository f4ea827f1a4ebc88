"""The evaluator against one contour pass per threshold: `python -m tests.bench.bench_evaluator`.

Compares every curve on maps of every kind, and exits 1 where one differs or the whole is less than 10 times
faster than the protocol written out: a contour pass and the IoU of its boxes at each threshold. Also says
how it compares with the contour passes alone. CPU time, one thread, best of the repeats.
"""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING

import click
import cv2
import numpy as np

from tests.train.evaluation.slow_protocol import contour_boxes, kinds_of_maps, quantised
from train.evaluation.metrics import THRESHOLDS, best_iou_per_threshold, iou_inclusive, scale_boxes

if TYPE_CHECKING:
    from numpy.typing import NDArray

TARGET = 10.0
SIZE, TRUTH = (500, 335), np.array([(60, 27, 385, 331), (10, 200, 90, 300)])


@click.command(context_settings={"show_default": True})
@click.option("--seeds", default=2, help="Each gives one map of every kind.")
@click.option("--repeats", default=5)
def main(seeds: int, repeats: int) -> None:
    """Print milliseconds per map by kind and mode: contour passes, the whole slow way, ours, ratio."""
    cv2.setNumThreads(1)
    rows = []
    for seed in range(seeds):
        maps = kinds_of_maps(seed) | {"noise": np.random.default_rng(seed).random((224, 224))}
        for kind, score_map in maps.items():
            for multi in (False, True):
                passes, slow, expected = slow_way(score_map, multi)
                fast, found = fast_way(score_map, multi, repeats)
                if not np.array_equal(found, expected):
                    raise SystemExit(f"{kind}, multi_contour={multi}: the curves differ")
                rows.append((multi, passes, slow, fast))
                mode = "all contours" if multi else "largest contour"
                click.echo(
                    f"{kind:<20} {mode:<15} passes {1e3 * passes:8.1f}  slow {1e3 * slow:8.1f}  "
                    f"ours {1e3 * fast:6.2f} ms  {slow / fast:6.1f} x"
                )
    for multi, mode in ((False, "largest contour"), (True, "all contours")):
        click.echo(f"{mode}: {summary([row for row in rows if row[0] is multi])}")
    click.echo(f"{len(rows) // 2} maps, both modes, every curve equal: {summary(rows)}")
    total = sum(row[2] for row in rows) / sum(row[3] for row in rows)
    if total < TARGET:
        raise SystemExit(f"missed: {total:.1f} x, target {TARGET:.0f} x")


def summary(rows: list[tuple[bool, float, float, float]]) -> str:
    """Ratio of the totals and of the map in the middle, against the slow way and its contour passes alone."""
    parts = []
    for name, column in (("whole", 2), ("contour passes alone", 1)):
        total = sum(row[column] for row in rows) / sum(row[3] for row in rows)
        middle = statistics.median(row[column] / row[3] for row in rows)
        parts.append(f"{name} {total:.1f} x (median map {middle:.1f} x)")
    return ", ".join(parts)


def slow_way(score_map: NDArray[np.floating], multi: bool) -> tuple[float, float, NDArray[np.float64]]:
    """Seconds of the contour passes, seconds with their IoU, and the curve."""
    start = time.process_time()
    grey = quantised(score_map)
    boxes = [np.array(contour_boxes(grey, float(tau), multi_contour=multi)) for tau in THRESHOLDS]
    traced = time.process_time()
    truth = scale_boxes(TRUTH, SIZE)
    curve = np.array([iou_inclusive(found, truth).max() for found in boxes])
    return traced - start, time.process_time() - start, curve


def fast_way(score_map: NDArray[np.floating], multi: bool, repeats: int) -> tuple[float, NDArray[np.float64]]:
    """Seconds and the curve."""
    taken = []
    for _ in range(repeats):
        start = time.process_time()
        curve = best_iou_per_threshold(score_map, TRUTH, SIZE, multi_contour=multi)
        taken.append(time.process_time() - start)
    return min(taken), curve


if __name__ == "__main__":
    main()
