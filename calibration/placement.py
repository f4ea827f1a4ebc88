"""Where Q/DQ pairs go: which tensors, for which readers, with which scales tied, and what stays float.

fp32 ModelProto ──plan──▶ Placement ──histograms of .tensors──▶ ranges ──qdq.quantize──▶ int8 ModelProto

The rules are those TensorRT fuses best: the input of every convolution; of a residual sum only the branch
that does not come straight out of a convolution; every input of a concatenation, all with one scale, because
then it moves int8 values without touching them. Float: the map head, everything computed from a global
average (squeeze-and-excite, class head), biases, what comes before the first convolution.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

from calibration.graph import GraphIndex, layer_name, opset, prepared, unsupported
from edge_runtime.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Collection

    from onnx import ModelProto, NodeProto

POOLING = {"GlobalAveragePool", "GlobalMaxPool", "ReduceMean"}
STOPS = {*POOLING, "Conv", "ConvTranspose", "Gemm", "MatMul"}  # a head is what lies behind the last of these
PER_CHANNEL_OPSET = 13  # first with DequantizeLinear per axis


@dataclass(frozen=True)
class Site:
    """One reader that gets the dequantized tensor.

    `consumer` is the reading node's first output (unique in a graph), `position` the input it is. `layers`
    are the convolutions that gain by it; with all of them float there is no site.
    """

    tensor: str
    consumer: str
    position: int
    layers: frozenset[str]


@dataclass(frozen=True)
class Placement:
    """All Q/DQ pairs of a graph: one pair per tensor, shared by its sites.

    `layers`: names of the convolutions that become int8, in graph order. `float_layers`: those that do not,
    by rule or by choice. `groups`: tensors that share a scale, every tensor of a site in exactly one.
    """

    layers: tuple[str, ...]
    float_layers: tuple[str, ...]
    sites: tuple[Site, ...]
    groups: tuple[tuple[str, ...], ...]

    @property
    def tensors(self) -> tuple[str, ...]:
        """Names of the tensors that get a pair, and so need a range; in graph order."""
        return tuple(dict.fromkeys(site.tensor for site in self.sites))

    def without(self, layers: Collection[str]) -> Placement:
        """The same with these convolutions float.

        Raises:
            ModelError: a name that is no convolution of the graph.
        """
        unknown = sorted(set(layers) - {*self.layers, *self.float_layers})
        if unknown:
            raise ModelError(
                f"no convolution is called {unknown[0]!r}; `dips-edge calibration report` lists them"
            )
        gone = frozenset(layers)
        cut = (dataclasses.replace(site, layers=site.layers - gone) for site in self.sites)
        sites = tuple(site for site in cut if site.layers)
        seen = {site.tensor for site in sites}
        groups = (tuple(name for name in group if name in seen) for group in self.groups)
        return Placement(
            layers=tuple(name for name in self.layers if name not in gone),
            float_layers=(*self.float_layers, *(name for name in self.layers if name in gone)),
            sites=sites,
            groups=tuple(group for group in groups if group),
        )


def plan(model: ModelProto) -> Placement:
    """Apply the rules to an fp32 model.

    Raises:
        ModelError: the model is quantized already, too old, or has no convolution to quantize.
    """
    model = prepared(model)
    if opset(model) < PER_CHANNEL_OPSET:
        raise ModelError(
            f"opset {opset(model)}, int8 needs {PER_CHANNEL_OPSET} or newer; export the run again"
        )
    for node in model.graph.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear") or node.op_type.startswith("QLinear"):
            raise unsupported(node, "the file is quantized already; give the fp32 file")
    return _Planner(model).placement()


class _Planner:
    def __init__(self, model: ModelProto) -> None:
        self.nodes = list(model.graph.node)
        self.index = GraphIndex.of(model)
        kept = self._heads(model) | self._pooled()
        convs = [node for node in self.nodes if node.op_type == "Conv"]
        self.int8 = {
            node.output[0]: node
            for node in convs
            if node.output[0] not in kept and node.input[1] in self.index.constants
        }
        self.float_layers = [layer_name(node) for node in convs if node.output[0] not in self.int8]
        if not self.int8:
            raise ModelError("the graph has no convolution that can become int8; fly the fp32 or fp16 file")

    def placement(self) -> Placement:
        sites: list[Site] = []
        for node in self.nodes:
            if node.output[0] in self.int8:
                sites.append(Site(node.input[0], node.output[0], 0, frozenset({layer_name(node)})))
            elif node.op_type == "Add":
                sites.extend(self._residual(node))
            elif node.op_type == "Concat":
                sites.extend(self._concatenation(node))
        groups = self._groups(dict.fromkeys(site.tensor for site in sites))
        layers = tuple(layer_name(node) for node in self.int8.values())
        return Placement(layers, tuple(self.float_layers), tuple(sites), groups)

    def _residual(self, add: NodeProto) -> list[Site]:
        """The branch that is summed with a convolution's own output; of two such branches, the second."""
        variable = list(self.index.variable_inputs(add))
        straight = [i for i, name in variable if name in self.int8 and self.index.only_reader(name)]
        if len(variable) != 2 or not straight:
            return []
        fused, other = straight[0], 1 - straight[0]
        layer = layer_name(self.int8[add.input[fused]])
        return [Site(add.input[other], add.output[0], other, frozenset({layer}))]

    def _concatenation(self, concat: NodeProto) -> list[Site]:
        layers = frozenset(self._readers(concat.output[0]))
        if not layers:
            return []
        variable = self.index.variable_inputs(concat)
        return [Site(name, concat.output[0], i, layers) for i, name in variable]

    def _readers(self, name: str) -> set[str]:
        """Layers that read a tensor as int8, directly or through operators that only move values."""
        found: set[str] = set()
        for node, position in self.index.consumers.get(name, []):
            if node.output[0] in self.int8 and position == 0:
                found.add(layer_name(node))
            elif moves_values(node):
                found |= self._readers(node.output[0])
        return found

    def _groups(self, tensors: dict[str, None]) -> tuple[tuple[str, ...], ...]:
        """Tensors tied by operators that only move values, in order of first appearance."""
        root = {name: name for node in self.nodes for name in (*node.input, *node.output)}

        def find(name: str) -> str:
            while root[name] != name:
                root[name] = root[root[name]]
                name = root[name]
            return name

        for node in self.nodes:
            if not moves_values(node) or not self._readers(node.output[0]):
                continue
            for _, name in self.index.variable_inputs(node):
                root[find(name)] = find(node.output[0])
        groups: dict[str, list[str]] = {}
        for name in tensors:
            groups.setdefault(find(name), []).append(name)
        return tuple(tuple(group) for group in groups.values())

    def _heads(self, model: ModelProto) -> set[str]:
        """Convolutions with nothing but pointwise operators between them and an output of the graph."""
        found: set[str] = set()
        queue = [output.name for output in model.graph.output]
        while queue:
            node = self.index.producer.get(queue.pop())
            if node is None or node.op_type in POOLING:
                continue
            if node.op_type in STOPS:
                found.add(node.output[0])
            else:
                queue.extend(name for _, name in self.index.variable_inputs(node))
        return found

    def _pooled(self) -> set[str]:
        """Outputs computed from global averages only, up to where they meet the feature map again."""
        found: set[str] = set()
        for node in self.nodes:
            inputs = [name for _, name in self.index.variable_inputs(node)]
            if node.op_type in POOLING or (inputs and all(name in found for name in inputs)):
                found.update(node.output)
        return found


def moves_values(node: NodeProto) -> bool:
    """Concat, nearest Resize and MaxPool: their output has values of their inputs and no others."""
    if node.op_type == "Resize":
        mode = next((a.s for a in node.attribute if a.name == "mode"), b"nearest")
        return bool(mode == b"nearest")
    return node.op_type in ("Concat", "MaxPool")
