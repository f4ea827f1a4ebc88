"""Q/DQ graphs of a real U-Net: the rules hold on every layer, and ONNX Runtime still finds the same map."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from calibration.fp16 import to_fp16
from calibration.graph import element_types
from calibration.histograms import collect
from calibration.placement import Placement, plan
from calibration.qdq import quantize
from calibration.ranges import amax
from edge_runtime.errors import ModelError
from tests.calibration.encoders import frames
from tests.calibration.graphs import constant, conv, graph, makers, maps, metadata, node, session, weight

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

MEAN_TOLERANCE = 0.02  # of a probability, untrained weights; trained networks stay below 0.01


@pytest.fixture(scope="module")
def placement(edge: ModelProto) -> Placement:
    return plan(edge)


@pytest.fixture(scope="module")
def ranges(edge: ModelProto, placement: Placement) -> dict[str, float]:
    return {name: amax(h, "max") for name, h in collect(edge, placement.tensors, frames(), threads=1).items()}


@pytest.fixture(scope="module")
def files(edge: ModelProto, placement: Placement, ranges: dict[str, float]) -> dict[str, ModelProto]:
    int8 = quantize(edge, placement, ranges, weights="int8")
    weak = quantize(edge, placement, ranges, weights="fp32")
    return {"int8 weights": int8, "fp32 weights": weak, "typed": to_fp16(int8)}


KINDS = ["int8 weights", "fp32 weights", "typed"]


def source(made: dict[str, NodeProto], name: str) -> NodeProto | None:
    """What makes a tensor, looking through casts."""
    found = made.get(name)
    return source(made, found.input[0]) if found is not None and found.op_type == "Cast" else found


@pytest.mark.parametrize("kind", KINDS)
def test_every_convolution_but_the_head_reads_dequantized_image_and_weight(
    files: dict[str, ModelProto], kind: str, placement: Placement
) -> None:
    model = files[kind]
    made, types = makers(model), element_types(model)
    convs = {n.name: n for n in model.graph.node if n.op_type == "Conv"}
    assert len(convs) == 59
    assert len(placement.layers) == 58
    for name, layer in convs.items():
        sources = [source(made, layer.input[i]) for i in (0, 1)]
        dequantized = [found is not None and found.op_type == "DequantizeLinear" for found in sources]
        assert dequantized == [name in placement.layers] * 2, name
        assert source(made, layer.input[2]) is None, "a bias stays a constant"
        body = TensorProto.FLOAT16 if kind == "typed" else TensorProto.FLOAT
        assert {types[n] for n in (*layer.input, *layer.output)} == {body}


@pytest.mark.parametrize("kind", KINDS)
def test_pairs_are_symmetric_int8_with_fp32_scales(files: dict[str, ModelProto], kind: str) -> None:
    model = files[kind]
    made, types = makers(model), element_types(model)
    for n in model.graph.node:
        if n.op_type not in ("QuantizeLinear", "DequantizeLinear"):
            continue
        scale, zero = constant(model, n.input[1]), constant(model, n.input[2])
        assert scale.dtype == np.float32
        assert (scale > 0).all()
        assert zero.dtype == np.int8
        assert zero.shape == scale.shape
        assert not zero.any()
        assert types[n.output[0]] == (TensorProto.INT8 if n.op_type[0] == "Q" else TensorProto.FLOAT)
        axis = [a.i for a in n.attribute if a.name == "axis"]
        assert axis == ([0] if scale.shape else [])
    for layer in (n for n in model.graph.node if n.op_type == "Conv"):
        found = source(made, layer.input[1])
        if found is not None:
            assert len(constant(model, found.input[1])) == constant(model, layer.input[2]).size


@pytest.mark.parametrize("kind", KINDS)
def test_inputs_of_a_concatenation_share_one_scale(files: dict[str, ModelProto], kind: str) -> None:
    model = files[kind]
    made = makers(model)
    concats = [n for n in model.graph.node if n.op_type == "Concat"]
    assert len(concats) == 4
    for concat in concats:
        after = next(
            n
            for n in model.graph.node
            if n.op_type == "QuantizeLinear" and n.name.startswith(concat.output[0])
        )
        pairs = [source(made, name) for name in concat.input]
        scales = [constant(model, pair.input[1]) for pair in (*pairs, after) if pair is not None]
        assert len(scales) == 3
        assert len(set(map(float, scales))) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_residual_sum_reads_one_branch_dequantized(files: dict[str, ModelProto], kind: str) -> None:
    made = makers(files[kind])
    sums = [n for n in files[kind].graph.node if n.op_type == "Add"]
    assert len(sums) == 9
    for add in sums:
        kinds = [found.op_type for name in add.input if (found := source(made, name)) is not None]
        assert sorted(kinds) == ["Conv", "DequantizeLinear"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_file_is_valid_and_keeps_ports_and_metadata(
    files: dict[str, ModelProto], kind: str, edge: ModelProto
) -> None:
    model = files[kind]
    onnx.checker.check_model(model, full_check=True)
    assert (model.ir_version, model.opset_import[0].version) == (8, 17)
    assert metadata(model) == metadata(edge)
    assert (model.graph.input, model.graph.output) == (edge.graph.input, edge.graph.output)
    assert model.ByteSize() <= (1.02 if kind == "fp32 weights" else 0.31) * edge.ByteSize()


@pytest.mark.parametrize("kind", KINDS)
def test_maps_are_near_those_of_fp32(files: dict[str, ModelProto], kind: str, edge: ModelProto) -> None:
    expected, found = maps(edge, frames()), maps(files[kind], frames())
    assert 0 < np.abs(found - expected).mean() <= MEAN_TOLERANCE


def test_where_weights_are_stored_as_int8_or_fp32_makes_no_difference(files: dict[str, ModelProto]) -> None:
    assert np.array_equal(maps(files["int8 weights"], frames()), maps(files["fp32 weights"], frames()))


def test_float_layers_are_written_as_they_were(
    edge: ModelProto, placement: Placement, ranges: dict[str, float]
) -> None:
    kept = placement.layers[:3]
    model = quantize(edge, placement.without(kept), ranges, weights="int8")
    before = {n.name: n for n in edge.graph.node}
    after = {n.name: n for n in model.graph.node}
    for name in kept:
        assert after[name].input[1:] == before[name].input[1:]
    everything = quantize(edge, placement.without(placement.layers), ranges, weights="int8")
    assert np.array_equal(maps(everything, frames(1)), maps(edge, frames(1)))


TWO = [conv("x", "a"), node("Relu", "a", "b"), conv("b", "c"), conv("c", "d")]


def test_a_weight_two_layers_share_is_stored_once() -> None:
    model = graph(TWO, {"w": weight()}, outputs=["d"])
    made = quantize(model, plan(model), {"x": 3, "b": 2, "c": 1}, weights="int8")
    readers = [n.input[1] for n in made.graph.node if n.op_type == "Conv"]
    assert readers == ["w_dq", "w_dq", "w"]  # the last is the head
    assert [t.name for t in made.graph.initializer].count("w_q") == 1


def test_quantized_values_are_those_of_the_formula() -> None:
    model = graph([*TWO, conv("d", "e")], {"w": weight()}, outputs=["e"])
    made = quantize(model, plan(model), {"x": 1.27, "b": 2, "c": 0}, weights="int8")
    assert constant(made, "x_scale") == np.float32(0.01)
    assert constant(made, "c_scale") == 1  # always 0: any scale will do
    made.graph.output.add().name = "x_dq"
    image = np.linspace(-2, 2, 256, dtype=np.float32).reshape(1, 4, 8, 8)
    found = session(made).run(["x_dq"], {"x": image})[0]
    assert np.allclose(found, np.clip(np.rint(image / np.float32(0.01)), -128, 127) * 0.01, atol=1e-6)


@pytest.mark.parametrize(
    ("ranges", "message"),
    [
        pytest.param({"x": 1, "b": 1}, "does not fit this model at tensor 'c'", id="missing"),
        pytest.param(
            {"x": 1, "b": 1, "c": -1}, "'c' has range -1, expected a finite number >= 0", id="negative"
        ),
        pytest.param({"x": np.nan, "b": 1, "c": 1}, "'x' has range nan", id="not a number"),
        pytest.param({"x": np.inf, "b": 1, "c": 1}, "'x' has range inf", id="infinite"),
    ],
)
def test_ranges_that_cannot_be_used_are_refused(ranges: dict[str, Any], message: str) -> None:
    model = graph([*TWO, conv("d", "e")], {"w": weight()}, outputs=["e"])
    with pytest.raises(ModelError, match=message):
        quantize(model, plan(model), {"d": 1} | ranges, weights="int8")


def test_a_placement_of_another_graph_is_refused(edge: ModelProto) -> None:
    model = graph(TWO, {"w": weight()}, outputs=["d"])
    with pytest.raises(ModelError, match="does not fit this model at tensor 'x'"):
        quantize(edge, plan(model), {"x": 1, "b": 1, "c": 1}, weights="int8")
