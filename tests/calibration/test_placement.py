"""Where Q/DQ pairs go, on graphs small enough to see the answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from calibration.placement import Placement, plan
from edge_runtime.errors import ModelError
from tests.calibration.graphs import conv, graph, node, weight

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

HEAD = "head"


CONSTANTS = {
    "w": weight(),
    "w8": weight(4, 8),
    "w1x1": weight(4, 4, 1),
    "head_w": weight(1),
    "scales": np.array([1, 1, 2, 2], np.float32),
    "ones": np.ones((4, 4, 3, 3), np.float32),
    "offset": np.ones((1, 4, 1, 1), np.float32),
}


def planned(*nodes: NodeProto, last: str) -> Placement:
    """The placement of the nodes followed by a map head on the tensor `last`."""
    ends = [conv(last, HEAD, "head_w"), node("Sigmoid", HEAD, "prob")]
    return plan(graph([*nodes, *ends], CONSTANTS, outputs=["prob"]))


def pairs(placement: Placement) -> set[tuple[str, str]]:
    return {(site.tensor, site.consumer) for site in placement.sites}


def tied(placement: Placement) -> list[set[str]]:
    return [set(group) for group in placement.groups if len(group) > 1]


def test_a_chain_has_pairs_on_the_inputs_of_its_convolutions_only() -> None:
    placement = planned(
        conv("x", "a"), node("Relu", "a", "b"), conv("b", "c"), node("Relu", "c", "d"), last="d"
    )
    assert placement.layers == ("a", "c")
    assert placement.float_layers == (HEAD,)
    assert placement.tensors == ("x", "b")
    assert pairs(placement) == {("x", "a"), ("b", "c")}
    assert placement.groups == (("x",), ("b",))


def test_two_readers_share_one_pair() -> None:
    placement = planned(conv("x", "a"), conv("x", "b"), node("Mul", "a b", "c"), last="c")
    assert placement.tensors == ("x",)
    assert pairs(placement) == {("x", "a"), ("x", "b")}


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        pytest.param(
            [conv("x", "a"), node("Relu", "a", "r"), conv("r", "b"), node("Add", "b r", "sum")],
            {("r", "sum")},
            id="the skip branch",
        ),
        pytest.param(
            [conv("x", "a"), node("Relu", "a", "r"), conv("r", "b"), node("Add", "r b", "sum")],
            {("r", "sum")},
            id="the skip branch, first",
        ),
        pytest.param(
            [conv("x", "a"), conv("x", "b"), node("Add", "a b", "sum")], {("b", "sum")}, id="two convolutions"
        ),
        pytest.param(
            [conv("x", "a"), node("Relu", "a", "r"), conv("a", "b"), node("Add", "b a", "sum")],
            {("a", "sum")},
            id="a convolution read twice is the skip branch",
        ),
        pytest.param(
            [conv("x", "a"), node("Relu", "a", "r"), node("Sigmoid", "a", "s"), node("Add", "r s", "sum")],
            set(),
            id="no convolution to fuse with",
        ),
        pytest.param([conv("x", "a"), node("Add", "a offset", "sum")], set(), id="a constant is no branch"),
    ],
)
def test_a_residual_sum_has_a_pair_on_the_branch_that_is_not_the_convolution(
    nodes: list[NodeProto], expected: set[tuple[str, str]]
) -> None:
    assert {pair for pair in pairs(planned(*nodes, last="sum")) if pair[1] == "sum"} == expected


def test_concatenated_tensors_share_one_scale_through_resize_and_pooling() -> None:
    placement = planned(
        conv("x", "a"),
        node("MaxPool", "a", "pooled", kernel_shape=[2, 2], strides=[2, 2]),
        conv("pooled", "deep"),
        node("Resize", "deep  scales", "up", mode="nearest"),
        node("Concat", "up a", "both", axis=1),
        conv("both", "merged", "w8"),
        last="merged",
    )
    assert pairs(placement) == {
        ("x", "a"),
        ("pooled", "deep"),
        ("up", "both"),
        ("a", "both"),
        ("both", "merged"),
    }
    assert tied(placement) == [{"pooled", "up", "a", "both"}]
    assert ("x",) in placement.groups


def test_a_resize_that_computes_new_values_ties_nothing() -> None:
    placement = planned(
        conv("x", "a"),
        conv("a", "b"),
        node("Resize", "b  scales", "up", mode="linear"),
        node("MaxPool", "up", "pooled", kernel_shape=[2, 2], strides=[2, 2]),
        node("Concat", "pooled a", "both", axis=1),
        conv("both", "merged", "w8"),
        last="merged",
    )
    assert tied(placement) == [{"a", "pooled", "both"}]


def test_a_concatenation_no_convolution_reads_stays_as_it_is() -> None:
    placement = planned(
        conv("x", "a"), conv("x", "b"), node("Concat", "a b", "both", axis=1), node("Relu", "both", "r"),
        conv("r", "c", "w8"), last="c",
    )  # fmt: skip
    assert pairs(placement) == {("x", "a"), ("x", "b"), ("r", "c")}


@pytest.mark.parametrize("pooling", ["GlobalAveragePool", "ReduceMean"])
def test_what_a_global_average_gives_stays_float_until_it_meets_the_feature_map(pooling: str) -> None:
    attributes = {"axes": [2, 3], "keepdims": 1} if pooling == "ReduceMean" else {}
    placement = planned(
        conv("x", "a"),
        node(pooling, "a", "mean", **attributes),
        node("Conv", "mean w1x1", "squeeze"),
        node("Relu", "squeeze", "squeezed"),
        node("Conv", "squeezed w1x1", "excite"),
        node("Sigmoid", "excite", "gate"),
        node("Mul", "a gate", "gated"),
        conv("gated", "b"),
        last="b",
    )
    assert placement.layers == ("a", "b")
    assert placement.float_layers == ("squeeze", "excite", HEAD)
    assert pairs(placement) == {("x", "a"), ("gated", "b")}


def test_a_convolution_whose_weights_are_computed_stays_float() -> None:
    placement = planned(node("Relu", "ones", "made_w"), conv("x", "a", "made_w"), conv("a", "b"), last="b")
    assert placement.layers == ("b",)
    assert placement.float_layers == ("a", HEAD)


RESIDUAL = (
    conv("x", "a"),
    node("Relu", "a", "r"),
    conv("r", "b"),
    node("Add", "b r", "sum"),
    conv("sum", "c"),
    node("Concat", "c sum", "both", axis=1),
    conv("both", "d", "w8"),
)


@pytest.mark.parametrize(
    ("kept", "expected"),
    [
        pytest.param(
            (),
            {
                ("x", "a"),
                ("r", "b"),
                ("r", "sum"),
                ("sum", "c"),
                ("c", "both"),
                ("sum", "both"),
                ("both", "d"),
            },
            id="none",
        ),
        pytest.param(
            ("b",),
            {("x", "a"), ("sum", "c"), ("c", "both"), ("sum", "both"), ("both", "d")},
            id="a residual branch goes with its convolution",
        ),
        pytest.param(
            ("d",),
            {("x", "a"), ("r", "b"), ("r", "sum"), ("sum", "c")},
            id="a concatenation goes with its reader",
        ),
        pytest.param(("a", "b", "c", "d"), set(), id="all"),
    ],
)
def test_float_layers_take_their_pairs_with_them(
    kept: tuple[str, ...], expected: set[tuple[str, str]]
) -> None:
    placement = planned(*RESIDUAL, last="d").without(kept)
    assert pairs(placement) == expected
    assert placement.layers == tuple(name for name in "abcd" if name not in kept)
    assert placement.float_layers == (HEAD, *kept)
    assert {name for group in placement.groups for name in group} == set(placement.tensors)
    assert placement.without(kept) == placement


def test_a_layer_that_does_not_exist_is_named() -> None:
    with pytest.raises(ModelError, match="no convolution is called 'z'"):
        planned(*RESIDUAL, last="d").without(["a", "z"])


@pytest.mark.parametrize(
    ("model", "message"),
    [
        pytest.param(
            graph([conv("x", "a"), node("Sigmoid", "a", "prob")], CONSTANTS, outputs=["prob"]),
            "no convolution that can become int8",
            id="only a head",
        ),
        pytest.param(
            graph([conv("x", "a"), conv("a", "b")], CONSTANTS, outputs=["b"], opset=12),
            "opset 12, int8 needs 13",
            id="too old",
        ),
        pytest.param(
            graph(
                [node("QuantizeLinear", "x one zero", "q"), node("DequantizeLinear", "q one zero", "d"),
                 conv("d", "a"), conv("a", "b")],
                CONSTANTS | {"one": np.array(1, np.float32), "zero": np.array(0, np.int8)},
                outputs=["b"],
            ),
            "operator QuantizeLinear of layer 'q' cannot be converted: the file is quantized already",
            id="quantized already",
        ),
    ],
)  # fmt: skip
def test_a_graph_that_cannot_become_int8_is_refused(model: ModelProto, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        plan(model)
