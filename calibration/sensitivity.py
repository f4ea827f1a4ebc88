"""What each layer costs in int8: the network with that one layer quantized, compared with fp32.

layers ──one at a time──▶ int8 models ──maps against fp32's──▶ LayerCost, worst first
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from calibration.graph import GraphIndex, layer_name

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from onnx import ModelProto

    from calibration.bench import Bench


@dataclass(frozen=True)
class LayerCost:
    """`layer` alone in int8: mean and largest map error, mean box IoU with fp32 at fp32's thresholds.

    `weights`: their number.
    """

    layer: str
    map_mean: float
    map_max: float
    mean_iou: float
    weights: int


def layer_costs(
    model: ModelProto,
    layers: Sequence[str],
    build: Callable[[Sequence[str]], ModelProto],
    bench: Bench,
    step: Callable[[], None] = lambda: None,
) -> list[LayerCost]:
    """Cost of each layer, the most expensive first.

    The order is by mean map error: unlike boxes it tells layers apart on few frames.

    Args:
        model: the fp32 model.
        build: the int8 model with the given layers float.
        bench: few frames will do; every layer is run over all of them.
        step: called once per layer (progress).
    """
    weights = _weight_counts(model)
    costs = []
    for layer in layers:
        alone = build([other for other in layers if other != layer])
        # Optimized as far as one int8 layer among float ones allows: half the time, same results within 1e-5.
        found = bench.measure(alone, as_written=False, rescored=False).agreement
        costs.append(LayerCost(layer, found.map_mean, found.map_max, found.mean_iou, weights[layer]))
        step()
    return sorted(costs, key=lambda cost: -cost.map_mean)


def _weight_counts(model: ModelProto) -> dict[str, int]:
    constants = GraphIndex.of(model).constants
    return {
        layer_name(node): math.prod(constants[node.input[1]].dims)
        for node in model.graph.node
        if node.op_type == "Conv" and node.input[1] in constants
    }
