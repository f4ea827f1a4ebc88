"""The work of a network, layer by layer as TensorRT would launch them.

Graph ──fuse──▶ groups of nodes, a kernel each ──count──▶ Layer(FLOPs, weights, values read and written)

Fused are element-wise operations (activations, additions) into the layer that makes their newest input. Views
cost nothing: reshapes, slices, casts, Q/DQ pairs, and concatenations, whose parts TensorRT writes in place.
Sources: TensorRT developer guide, "Types of Fusions"; what its layer names show for convolutional networks.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge_runtime.profiling.estimate.graph import Graph, Node

PRODUCTS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
VIEWS = (
    *("Cast", "Concat", "Constant", "DequantizeLinear", "Dropout", "Flatten", "Identity", "QuantizeLinear"),
    *("Reshape", "Slice", "Split", "Squeeze", "Unsqueeze"),
)
ELEMENTWISE = (
    *(
        "Abs",
        "Add",
        "Clip",
        "Div",
        "Erf",
        "Exp",
        "Log",
        "Max",
        "Min",
        "Mul",
        "Neg",
        "Pow",
        "Sqrt",
        "Sub",
        "Where",
    ),
    *(
        "BatchNormalization",
        "Elu",
        "Gelu",
        "HardSigmoid",
        "HardSwish",
        "LeakyRelu",
        "PRelu",
        "Relu",
        "Sigmoid",
    ),
    *("Softplus", "Tanh"),
)


@dataclass(frozen=True)
class Layer:
    """One launched kernel.

    Attributes:
        name: of the node that gives it its kind.
        op: that node's operator, e.g. "Conv".
        flops: multiplications and additions of products; what is element-wise is not counted.
        weights: constant values it reads.
        reads, writes: values that come from and go to memory; what stays within is not counted.
        quantized: whether the file gives it int8 weights.
    """

    name: str
    op: str
    flops: int
    weights: int
    reads: int
    writes: int
    quantized: bool = False


@dataclass(frozen=True)
class Network:
    """The work of one inference.

    `peak_values`: most values that live between layers at one time. `weights`: constants of all layers.
    """

    layers: tuple[Layer, ...]
    peak_values: int

    @property
    def flops(self) -> int:
        """Multiplications and additions of one inference."""
        return sum(layer.flops for layer in self.layers)

    @property
    def weights(self) -> int:
        """Constant values of all layers."""
        return sum(layer.weights for layer in self.layers)

    @property
    def quantized(self) -> bool:
        """Whether the file is an int8 one."""
        return any(layer.quantized for layer in self.layers)


@dataclass
class _Group:
    lead: Node
    flops: int = 0
    quantized: bool = False
    reads: set[str] = field(default_factory=set)
    constants: set[str] = field(default_factory=set)
    writes: list[str] = field(default_factory=list)


def network_of(graph: Graph) -> Network:
    """Fuse the nodes of a graph into layers and count their work."""
    fusing = _Fusing(graph)
    for node in graph.nodes:
        fusing.add(node)
    return fusing.finished()


def flops_of(node: Node, graph: Graph) -> int:
    """Multiplications plus additions of one product; 0 for every other operator."""
    if node.op not in PRODUCTS:
        return 0
    first, second = graph.tensors[node.inputs[0]], graph.tensors[node.inputs[1]]
    made = graph.tensors[node.outputs[0]]
    if node.op == "Conv":  # weight (out, in / groups, h, w)
        return 2 * made.elements * (second.elements // second.shape[0])
    if node.op == "ConvTranspose":  # weight (in, out / groups, h, w)
        return 2 * first.elements * (second.elements // second.shape[0])
    if node.op == "Gemm":  # the first may be transposed, the output is (rows, columns) always
        return 2 * made.elements * (first.elements // made.shape[0])
    return 2 * made.elements * first.shape[-1]


class _Fusing:
    """What was made of the nodes so far."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._constants = set(graph.constants)
        self._quantized: set[str] = set()  # constants that were int8
        self._origins: dict[str, tuple[str, ...]] = {}  # of a view: the tensors in memory behind it
        self._home: dict[str, int] = {}  # tensor in memory: the group that writes it
        self._groups: list[_Group] = []

    def add(self, node: Node) -> None:
        """The next node; its inputs were added before it."""
        read = [name for name in node.inputs if name]
        variable = [name for name in read if name not in self._constants]
        if not variable:
            self._constants.update(node.outputs)
            if node.op == "DequantizeLinear" or any(name in self._quantized for name in read):
                self._quantized.update(node.outputs)
        elif node.op in VIEWS:
            behind = tuple(dict.fromkeys(origin for name in variable for origin in self._behind(name)))
            self._origins.update(dict.fromkeys(node.outputs, behind))
        else:
            self._compute(node, variable, [name for name in read if name in self._constants])

    def finished(self) -> Network:
        """Every layer, with what it reads and writes."""
        read_by: dict[str, int] = {}  # tensor in memory: the last group that reads it
        for index, group in enumerate(self._groups):
            for name in group.reads:
                read_by.update(dict.fromkeys(self._behind(name), index))
        for name in self._graph.outputs:
            read_by.update(dict.fromkeys(self._behind(name), len(self._groups)))
        for name, home in self._home.items():
            if name in read_by:
                self._groups[home].writes.append(name)
        layers = tuple(self._layer(group) for group in self._groups)
        return Network(layers, self._peak(read_by))

    def _behind(self, name: str) -> tuple[str, ...]:
        return self._origins.get(name, (name,))

    def _compute(self, node: Node, variable: list[str], constants: list[str]) -> None:
        index = self._group_for(node, variable)
        group = self._groups[index]
        group.flops += flops_of(node, self._graph)
        group.quantized |= node.op in PRODUCTS and any(name in self._quantized for name in constants)
        group.constants.update(constants)
        group.reads.update(
            name for name in variable if any(self._home.get(o) != index for o in self._behind(name))
        )
        self._home.update(dict.fromkeys([name for name in node.outputs if name], index))

    def _group_for(self, node: Node, variable: list[str]) -> int:
        """The group of the newest input where the node can be fused into it, else a new one."""
        if node.op in ELEMENTWISE:
            newest = max(
                variable, key=lambda name: max(self._home.get(origin, -1) for origin in self._behind(name))
            )
            behind = self._behind(newest)
            home = self._home.get(behind[0], -1)
            made = self._graph.tensors[node.outputs[0]].elements
            if len(behind) == 1 and home >= 0 and self._graph.tensors[behind[0]].elements == made:
                return home
        self._groups.append(_Group(node))
        return len(self._groups) - 1

    def _layer(self, group: _Group) -> Layer:
        def count(names: set[str] | list[str]) -> int:
            return sum(self._graph.tensors[name].elements for name in names)

        return Layer(
            group.lead.name or group.lead.outputs[0],
            group.lead.op,
            group.flops,
            count(group.constants),
            count(group.reads),
            count(group.writes),
            group.quantized,
        )

    def _peak(self, read_by: dict[str, int]) -> int:
        """Most values that wait in memory for a later group while one runs, its own outputs included."""
        peak = 0
        waiting = {name: self._graph.tensors[name].elements for name in self._graph.inputs}
        for index, group in enumerate(self._groups):
            waiting.update({name: self._graph.tensors[name].elements for name in group.writes})
            peak = max(peak, sum(waiting.values()))
            waiting = {name: size for name, size in waiting.items() if read_by.get(name, -1) > index}
        return peak
