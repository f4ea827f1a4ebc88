"""The sensitivity report: which layer of a model costs how much in int8, as text, JSON and SVG.

fp32 bytes + Material ──histograms, method──▶ all layers int8, then each alone ──▶ LayerReport
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from calibration.bench import Bench
from calibration.chart import Bar, bar_chart
from calibration.fallback import guess_prefix
from calibration.fitting import Int8Settings, in_words
from calibration.placement import plan
from calibration.qdq import quantize
from calibration.quantize import observe, read_fp32
from calibration.search import Trial, amax_of, methods_named, try_methods
from calibration.sensitivity import LayerCost, layer_costs
from edge_runtime.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Sequence

    from onnx import ModelProto

    from calibration.data import Material

AIM_MAP_MEAN = Int8Settings.aim_map_mean


@dataclass(frozen=True)
class LayerReport:
    """`costs`: worst first, with `method`'s ranges on `frames` val frames. `trials`: all layers in int8, best
    method first. `always_float`: layers the placement never quantizes."""

    method: str
    frames: int
    costs: tuple[LayerCost, ...]
    trials: tuple[Trial, ...]
    always_float: tuple[str, ...]

    def to_json(self) -> str:
        """One JSON document, layers worst first."""
        document = {
            "method": self.method,
            "frames": self.frames,
            "always_float": self.always_float,
            "all_int8": {trial.method: trial.agreement.rounded() for trial in self.trials},
            "layers": [dataclasses.asdict(cost) for cost in self.costs],
        }
        return json.dumps(document, indent=1, allow_nan=False) + "\n"

    def to_text(self) -> str:
        """A table for people; errors in thousandths of a probability."""
        width = max(len(cost.layer) for cost in self.costs)
        lines = [
            *(f"{trial.method}, all layers int8: {in_words(trial.agreement)}" for trial in self.trials),
            "",
            f"One layer in int8 ({self.method}), {self.frames} frames; map errors in 1/1000:",
            f"{'layer':{width}}  {'mean':>7}  {'max':>6}  {'IoU':>6}  {'weights':>8}",
        ]
        for cost in self.costs:
            errors = f"{1e3 * cost.map_mean:7.3f}  {1e3 * cost.map_max:6.0f}  {cost.mean_iou:6.4f}"
            lines.append(f"{cost.layer:{width}}  {errors}  {cost.weights:8}")
        return "\n".join(lines) + "\n"

    def to_svg(self, model: str) -> str:
        """Bars of the mean map error, worst on top; those that must be float to meet the aim are marked."""
        marked = guess_prefix([cost.map_mean for cost in self.costs], AIM_MAP_MEAN)
        bars = [
            Bar(cost.layer, 1e3 * cost.map_mean, f"IoU {cost.mean_iou:.3f}", row < marked)
            for row, cost in enumerate(self.costs)
        ]
        return bar_chart(
            f"{model}: cost of each layer in int8 ({self.method})",
            f"that layer alone quantized, {self.frames} val frames; marked: float, so that the rest adds up "
            f"to the aim of {1e3 * AIM_MAP_MEAN:g}",
            "mean map error against fp32, in 1/1000",
            bars,
        )


def measure_layers(
    fp32: bytes, material: Material, method: str, *, layer_frames: int, threads: int | None, origin: str
) -> LayerReport:
    """Try the methods with all layers in int8, then every layer alone with the best.

    Raises:
        ModelError: as `quantize_model`; the gate plays no part.
        UsageError: no such method.
    """
    model = read_fp32(fp32, origin)
    placement = plan(model)
    histograms = observe(model, placement.tensors, material.calibration, threads)
    bench = Bench.of(model, material.val, material.present, threads)
    part, methods = bench.part(Int8Settings.search_frames), methods_named(method)
    with Progress("methods", len(methods) * len(part.frames)) as progress:
        trials = try_methods(model, placement, histograms, methods, part, progress.step)
    few = bench.part(layer_frames)
    amax = amax_of(trials[0].ranges)

    def build(float_layers: Sequence[str]) -> ModelProto:
        return quantize(model, placement.without(float_layers), amax, weights="int8")

    with Progress("cost per layer", len(placement.layers)) as progress:
        costs = layer_costs(model, placement.layers, build, few, progress.step)
    return LayerReport(trials[0].method, len(few.frames), tuple(costs), tuple(trials), placement.float_layers)
