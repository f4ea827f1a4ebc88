"""The int8 file for CPUs: ONNX Runtime fuses every layer of it, and it is faster than fp32."""

from __future__ import annotations

import time
import warnings
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from calibration.cpu_int8 import cpu_tensors, quantize_cpu, uint8_parameters
from calibration.histograms import collect
from calibration.placement import plan
from calibration.ranges import TensorRange, tensor_range
from edge_runtime.errors import ModelError
from tests.calibration.encoders import SIDE, export_encoder, frames
from tests.calibration.graphs import constant, conv, graph, makers, maps, metadata, node, session, weight

if TYPE_CHECKING:
    from collections.abc import Collection
    from typing import Any

    from onnx import ModelProto

MEAN_TOLERANCE = 0.02  # of a probability, untrained weights
FASTER = 1.3  # than fp32, on a CPU with AVX512-VNNI


def quantized(model: ModelProto, kept: Collection[str] = (), side: int = SIDE) -> ModelProto:
    found = collect(model, cpu_tensors(model, kept), frames(side=side), threads=1)
    return quantize_cpu(model, {name: tensor_range(h, "max") for name, h in found.items()}, kept)


@pytest.fixture(scope="module")
def fast(edge: ModelProto) -> ModelProto:
    return quantized(edge)


def fused(model: ModelProto, folder: Path) -> Counter[str]:
    """How often each operator occurs once ONNX Runtime has optimized the graph."""
    session(model, optimized=True, save=folder / "optimized.onnx")
    return Counter(n.op_type for n in onnx.load(folder / "optimized.onnx").graph.node)


def test_every_layer_but_the_head_runs_as_integers(fast: ModelProto, tmp_path: Path) -> None:
    found = fused(fast, tmp_path)
    assert found["QLinearConv"] == 58
    assert found["QLinearAdd"] == 9
    assert found["QLinearConcat"] == 4
    assert found["Conv"] == 1
    assert found["QuantizeLinear"] == 1  # the image
    assert found["DequantizeLinear"] == 2  # into the map head and the class head
    assert not {"Relu", "Clip"} & set(found)


def test_maps_are_near_those_of_fp32_as_written_and_as_fused(fast: ModelProto, edge: ModelProto) -> None:
    expected = maps(edge, frames())
    for optimized in (False, True):
        found = maps(fast, frames(), optimized=optimized)
        assert 0 < np.abs(found - expected).mean() <= MEAN_TOLERANCE


def test_the_file_is_valid_small_and_keeps_ports_and_metadata(fast: ModelProto, edge: ModelProto) -> None:
    onnx.checker.check_model(fast, full_check=True)
    assert (fast.ir_version, fast.opset_import[0].version) == (8, 17)
    assert metadata(fast) == metadata(edge)
    assert (fast.graph.input, fast.graph.output) == (edge.graph.input, edge.graph.output)
    assert fast.ByteSize() <= 0.33 * edge.ByteSize()


def test_nothing_is_said_and_nothing_left_lying_about(
    edge: ModelProto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        quantized(edge)
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


def test_float_layers_stay_float(edge: ModelProto, tmp_path: Path) -> None:
    kept = plan(edge).layers[1:4]
    model = quantized(edge, kept)
    before, after = ({n.name: n for n in m.graph.node} for m in (edge, model))
    for name in kept:
        assert after[name].input[1:] == before[name].input[1:]
    found = fused(model, tmp_path)
    assert found["QLinearConv"] == 55
    assert found["Conv"] + found["FusedConv"] == 4
    assert np.abs(maps(model, frames()) - maps(edge, frames())).mean() <= MEAN_TOLERANCE


def test_optimizing_does_not_quantize_the_weights_of_float_layers(edge: ModelProto) -> None:
    """ONNX Runtime would, per tensor: channels far smaller than the largest would become zero."""
    uneven = onnx.ModelProto()
    uneven.CopyFrom(edge)
    kept = plan(uneven).layers[1]  # a depthwise convolution
    conv = next(n for n in uneven.graph.node if n.name == kept)
    stored = next(t for t in uneven.graph.initializer if t.name == conv.input[1])
    values = numpy_helper.to_array(stored).copy()
    values[0] *= 3000.0
    stored.CopyFrom(numpy_helper.from_array(values, stored.name))
    model = quantized(uneven, [kept])
    written, optimized = (maps(model, frames(), optimized=o) for o in (False, True))
    assert np.abs(optimized - written).mean() <= 1e-2  # 5e-2 where it does


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        pytest.param(TensorRange(6, 0, 6), (6 / 255, 0), id="ReLU6: zero point 0"),
        pytest.param(TensorRange(4, -1, 4), (5 / 255, 51), id="lopsided"),
        pytest.param(TensorRange(3, -3, 0), (3 / 255, 255), id="all negative"),
        pytest.param(TensorRange(0, 0, 0), (1.0, 0), id="always zero"),
    ],
)
def test_uint8_spans_the_signed_range(values: TensorRange, expected: tuple[float, int]) -> None:
    assert uint8_parameters(values) == (pytest.approx(expected[0]), expected[1])


LAYERS = {
    "w": weight(),
    "head_w": weight(1),
    "zero": np.float32(0),
    "one": np.float32(1),
    "six": np.float32(6),
}


@pytest.mark.parametrize(
    ("activation", "absorbed"),
    [
        pytest.param(node("Relu", "a", "b"), True, id="ReLU"),
        pytest.param(node("Clip", "a zero six", "b"), True, id="ReLU6"),
        pytest.param(node("Clip", "a one six", "b"), False, id="clipped at 1: zero point 0 would not do it"),
        pytest.param(node("HardSwish", "a", "b"), False, id="another function"),
    ],
)
def test_an_activation_is_dropped_where_saturation_does_the_same(activation: Any, absorbed: bool) -> None:
    constants = {name: np.asarray(value, np.float32) for name, value in LAYERS.items()}
    model = graph(
        [conv("x", "a"), activation, conv("b", "c"), conv("c", "d", "head_w")], constants, outputs=["d"]
    )
    names = cpu_tensors(model)
    assert names == (("x", "b", "c") if absorbed else ("x", "a", "b", "c"))
    lows = {"b": -1 if activation.op_type == "HardSwish" else 0}
    made = quantize_cpu(model, {name: TensorRange(5, lows.get(name, -5), 5) for name in names})
    assert (activation.op_type in {n.op_type for n in made.graph.node}) is not absorbed
    image = np.random.default_rng(0).normal(0, 1, (1, 4, 8, 8)).astype(np.float32)
    expected, found = (session(m).run(None, {"x": image})[0] for m in (model, made))
    assert np.abs(found - expected).max() <= 0.1  # two layers in steps of 10/255


def test_a_bias_far_larger_than_its_weights_does_not_overflow() -> None:
    constants = {"w": weight() * 1e-9, "bias": np.full(4, 3.0, np.float32), "head_w": weight(1)}
    model = graph(
        [node("Conv", "x w bias", "a", pads=[1, 1, 1, 1]), conv("a", "b", "head_w")], constants, outputs=["b"]
    )
    made = quantize_cpu(model, {"x": TensorRange(1, -1, 1), "a": TensorRange(3, 0, 3)})
    assert constant(made, "a_bias_q").dtype == np.int32
    assert np.allclose(
        constant(made, "a_bias_q") * constant(made, "a_bias_scale").astype(float), 3, rtol=1e-6
    )
    assert makers(made)["a_dq"].op_type == "DequantizeLinear"


def test_a_range_that_is_missing_is_named(edge: ModelProto) -> None:
    with pytest.raises(ModelError, match="no range for tensor '/Sub_output_0'"):
        quantize_cpu(edge, {})


def vnni() -> bool:
    facts = Path("/proc/cpuinfo")
    return facts.is_file() and "avx512_vnni" in facts.read_text()


@pytest.mark.slow
@pytest.mark.skipif(not vnni(), reason="no AVX512-VNNI: what int8 gains here is another figure")
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("side", [224, 320])
def test_it_is_faster_than_fp32(tmp_path: Path, side: int, threads: int) -> None:
    """The least processor time of interleaved runs: other work on the machine counts little."""
    model = export_encoder(tmp_path, "tf_efficientnet_lite0", side)
    runs = [session(m, optimized=True, threads=threads) for m in (model, quantized(model, side=side))]
    image, best = frames(1, side)[0], [float("inf")] * 2
    for _ in range(60):
        for i, run in enumerate(runs):
            start = time.process_time()
            run.run(None, {"image": image})
            best[i] = min(best[i], time.process_time() - start)
    print(f"{side} px, {threads} threads: fp32 {best[0] * 1e3:.1f} ms, int8 {best[1] * 1e3:.1f} ms")
    assert best[0] / best[1] >= FASTER
