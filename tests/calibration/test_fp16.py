"""The typed fp16 body: what is half precision, what stays fp32, and what is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from calibration.fp16 import LARGEST, to_fp16
from calibration.graph import element_types
from edge_runtime.errors import ModelError
from tests.calibration.encoders import frames
from tests.calibration.graphs import constant, conv, graph, makers, maps, metadata, node, session, weight

if TYPE_CHECKING:
    from onnx import ModelProto

TOLERANCE = 5e-3  # of a probability; measured on trained networks 0.002-0.005


@pytest.fixture(scope="module")
def half(edge: ModelProto) -> ModelProto:
    return to_fp16(edge)


def test_every_convolution_computes_in_fp16(half: ModelProto) -> None:
    types = element_types(half)
    convs = [n for n in half.graph.node if n.op_type == "Conv"]
    assert len(convs) == 59
    for layer in convs:
        assert {types[name] for name in (*layer.input, *layer.output)} == {TensorProto.FLOAT16}, layer.name


def test_what_is_outside_the_body_stays_fp32_and_is_cast_once(half: ModelProto, edge: ModelProto) -> None:
    types, casts = element_types(half), [n for n in half.graph.node if n.op_type == "Cast"]
    for op in ("Sub", "Sigmoid", "Softmax"):
        outside = next(n for n in half.graph.node if n.op_type == op)
        assert {types[name] for name in (*outside.input, *outside.output)} == {TensorProto.FLOAT}
    assert len(casts) == 4  # the uint8 image, into the body, out of it to the map and to the classes
    assert list(half.graph.input) == list(edge.graph.input)
    assert list(half.graph.output) == list(edge.graph.output)
    scales = {n.input[2] for n in half.graph.node if n.op_type == "Resize"}
    assert len(scales) == 5
    assert {types[name] for name in scales} == {TensorProto.FLOAT}


def test_the_file_is_valid_half_as_large_and_keeps_its_metadata(half: ModelProto, edge: ModelProto) -> None:
    onnx.checker.check_model(half, full_check=True)
    assert (half.ir_version, half.opset_import[0].version) == (8, 17)
    assert metadata(half) == metadata(edge)
    assert half.ByteSize() <= 0.52 * edge.ByteSize()


def test_maps_are_those_of_fp32(half: ModelProto, edge: ModelProto) -> None:
    expected, found = maps(edge, frames()), maps(half, frames())
    assert np.ptp(expected) > 0.05
    assert 0 < np.abs(found - expected).max() <= TOLERANCE


def test_the_model_given_is_not_changed(edge: ModelProto) -> None:
    before = edge.SerializeToString()
    to_fp16(edge)
    assert edge.SerializeToString() == before


def test_an_output_of_the_body_keeps_its_name_and_type() -> None:
    model = graph(
        [conv("x", "a"), node("Relu", "a", "y"), conv("y", "z")], {"w": weight()}, outputs=["y", "z"]
    )
    made = to_fp16(model)
    assert [o.name for o in made.graph.output] == ["y", "z"]
    assert {o.type.tensor_type.elem_type for o in made.graph.output} == {TensorProto.FLOAT}
    image = np.random.default_rng(0).normal(0, 1, (1, 4, 8, 8)).astype(np.float32)
    for a, b in zip(
        session(model).run(None, {"x": image}), session(made).run(None, {"x": image}), strict=True
    ):
        assert np.abs(a - b).max() < 5e-3


def test_constants_in_nodes_and_endless_bounds_are_taken() -> None:
    bound = helper.make_node(
        "Constant", [], ["top"], value=helper.make_tensor("v", TensorProto.FLOAT, [], [3.4e38])
    )
    low = np.array(0, np.float32)
    model = graph(
        [bound, conv("x", "a"), node("Clip", "a low top", "y")], {"w": weight(), "low": low}, outputs=["y"]
    )
    made = to_fp16(model)
    assert constant(made, "top_fp16") == np.float16(LARGEST)
    assert makers(made)["y"].op_type == "Cast"


def test_a_constant_used_in_and_outside_the_body_exists_in_both_types() -> None:
    nodes = [node("Mul", "x c", "pre"), conv("pre", "a"), node("Mul", "a c", "b"), node("Sigmoid", "b", "y")]
    made = to_fp16(graph(nodes, {"w": weight(), "c": np.array(2, np.float32)}, outputs=["y"]))
    assert constant(made, "c").dtype == np.float32
    assert constant(made, "c_fp16").dtype == np.float16


def if_node() -> Any:
    branch = helper.make_graph(
        [helper.make_node("Identity", ["w"], ["v"])], "branch", [],
        [helper.make_tensor_value_info("v", TensorProto.FLOAT, None)],
    )  # fmt: skip
    return helper.make_node("If", ["yes"], ["made"], name="choice", then_branch=branch, else_branch=branch)


BOXES = {"scores": np.zeros((1, 1, 4), np.float32), "w": weight(), "yes": np.array(True)}


@pytest.mark.parametrize(
    ("nodes", "outputs", "message"),
    [
        pytest.param(
            [conv("x", "a"), if_node(), node("Add", "a made", "y")],
            ["y"],
            "operator If of layer 'choice' cannot be converted: it holds a graph of its own",
            id="control flow",
        ),
        pytest.param(
            [conv("x", "a"), helper.make_node("Swish", ["a"], ["y"], name="act", domain="com.acme")],
            ["y"],
            "operator Swish of layer 'act' cannot be converted: its domain 'com.acme' is not part of ONNX",
            id="foreign operator",
        ),
        pytest.param(
            [node("Relu", "x", "a"), node("Reshape", "a shape", "boxes"),
             node("NonMaxSuppression", "boxes scores", "kept")],
            ["kept"],
            "operator NonMaxSuppression of layer 'kept' cannot be converted: ONNX 17 does not define it",
            id="no fp16 form",
        ),
        pytest.param(
            [conv("x", "a"), node("RandomNormalLike", "a", "noise", dtype=1), node("Add", "a noise", "y")],
            ["y"],
            "operator RandomNormalLike of layer 'noise' cannot be converted: its type is fixed to fp32",
            id="type fixed",
        ),
    ],
)  # fmt: skip
def test_an_operator_that_has_no_fp16_form_is_named_with_its_layer(
    nodes: list[Any], outputs: list[str], message: str
) -> None:
    model = graph(nodes, BOXES | {"shape": np.array([1, 4, 64])}, outputs=outputs)
    with pytest.raises(ModelError, match=message):
        to_fp16(model)


@pytest.mark.parametrize("value", [1e5, np.inf, np.nan])
def test_a_weight_too_large_for_fp16_is_named_with_its_layer(value: float) -> None:
    model = graph([conv("x", "a")], {"w": np.full((4, 4, 3, 3), value, np.float32)}, outputs=["a"])
    with pytest.raises(
        ModelError, match=r"layer 'a' \(Conv\): its constant 'w' reaches .*, fp16 ends at 65504"
    ):
        to_fp16(model)
