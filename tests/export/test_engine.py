"""The real builder of TensorRT-RTX takes every file we write, on a machine without a GPU."""

from __future__ import annotations

import dataclasses
import logging
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx
import pytest
from onnx import TensorProto, helper

from calibration import placement
from calibration.fp16 import to_fp16
from edge_runtime.contract import ModelContract
from edge_runtime.engines import plan as engines
from edge_runtime.engines.plan import BuildStep, EngineOptions, GpuFacts
from edge_runtime.engines.trt import TensorRT, find_tensorrt, log_of
from edge_runtime.errors import EngineError
from edge_runtime.onnxfile import read_contract
from export import engine
from export.fp32 import export_fp32
from tests.export.dla_rules import misfits, subgraphs
from tests.export.layer_table import parse_layers, types_of
from tests.export.runs import photos, write_run
from tests.export.variants import variants

if TYPE_CHECKING:
    from onnx import ModelProto

ROOT = Path(__file__).parent.parent.parent
ENCODERS = [
    "tf_efficientnet_lite0",
    *(pytest.param(e, marks=pytest.mark.slow) for e in ("mobilenetv4_conv_small", "resnet18", "resnet50")),
]


@pytest.fixture(scope="module")
def trt() -> TensorRT:
    found: Any = pytest.importorskip("tensorrt_rtx", reason="no tensorrt_rtx wheel for this platform")
    if not hasattr(found, "Builder"):
        pytest.skip("tensorrt_rtx is installed without its libraries")
    return find_tensorrt(["tensorrt_rtx"])


@pytest.fixture(scope="module", params=ENCODERS)
def fp32_path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, model: Path) -> Path:
    """The fp32 file of an encoder; `model` is that of the first."""
    if request.param == "tf_efficientnet_lite0":
        return model
    run = write_run(tmp_path_factory.mktemp("runs") / request.param, request.param)
    export_fp32(run, run / "m.onnx", photos(1))
    return run / "m.onnx"


@pytest.mark.parametrize(
    ("file", "inside", "quantized"),
    [
        pytest.param("fp32", "Float", "Float", id="fp32"),
        pytest.param("fp16", "Half", "Half", id="fp16"),
        pytest.param("int8", "Half", "Int8", id="int8"),
        pytest.param("int8-trt8", "Float", "Int8", id="int8 for TensorRT 8", marks=pytest.mark.slow),
    ],
)
def test_every_convolution_is_built_in_the_precision_of_the_file(
    trt: TensorRT, fp32_path: Path, file: str, inside: str, quantized: str
) -> None:
    fp32 = onnx.load(fp32_path)
    made, precision, target = variants(fp32)[file]
    contract = dataclasses.replace(read_contract(fp32_path), precision=precision, target=target)
    with log_of(trt.module).collecting(verbose=True) as lines:
        built = engine.build(made.SerializeToString(), contract, trt, EngineOptions(detailed=True))
    assert built.warnings == ()
    assert len(built.plan) > 1e6
    layers = parse_layers(lines)
    plan = placement.plan(fp32)
    convs = [node.name for node in fp32.graph.node if node.op_type == "Conv"]
    assert set(convs) == {*plan.layers, *plan.float_layers}
    assert {types_of(layers, conv) for conv in plan.layers} == {(quantized, quantized)}
    assert {types_of(layers, conv) for conv in plan.float_layers} == {(inside, inside)}


def test_one_piece_runs_on_a_dla_and_only_the_ends_of_the_graph_do_not(fp32_path: Path) -> None:
    fp16 = to_fp16(onnx.load(fp32_path))
    assert list(misfits(fp16).values()) == [
        *("Cast", "Transpose", "Sub", "Cast"),  # the image becomes fp16
        *("ReduceMean", "Gemm"),  # class head
        *("Cast", "Sigmoid", "Cast", "Softmax"),  # the outputs become fp32
    ]
    assert subgraphs(fp16) == 1


def test_a_node_for_the_gpu_in_the_middle_cuts_the_graph_for_a_dla_in_two() -> None:
    assert (subgraphs(chain("Relu", "Relu")), subgraphs(chain("Relu", "Erf", "Relu"))) == (1, 2)


def chain(*operators: str) -> ModelProto:
    """image, cast, and one operator after the other."""
    names = ["x", *(f"t{i}" for i in range(len(operators) - 1)), "prob"]
    nodes = [helper.make_node("Cast", ["image"], ["x"], to=TensorProto.FLOAT)]
    nodes += [
        helper.make_node(op, [a], [b], name=f"/{op}", domain="ours" if op == "Frobnicate" else "")
        for op, a, b in zip(operators, names, names[1:], strict=False)
    ]
    shape = [1, 8, 8, 3]
    graph = helper.make_graph(
        nodes,
        "chain",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, shape)],
        [helper.make_tensor_value_info("prob", TensorProto.FLOAT, shape)],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ours", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


CONTRACT = ModelContract(("background", "tower"), "background", 8, 8, 0.5, 0.5)


def test_an_unsupported_operator_is_named_with_its_layer(trt: TensorRT) -> None:
    data = chain("Relu", "Frobnicate").SerializeToString()
    with pytest.raises(EngineError) as raised:
        engine.build(data, CONTRACT, trt, EngineOptions(), name="tower-fp32.onnx")
    message = str(raised.value)
    assert message.startswith(
        f"tower-fp32.onnx: {trt.label} cannot take it: layer '/Frobnicate' (Frobnicate): "
    )
    assert "\n" not in message


@pytest.mark.parametrize("data", [pytest.param(b"", id="empty"), pytest.param(b"\xff" * 64, id="junk")])
def test_a_file_that_is_no_model_is_one_line(trt: TensorRT, data: bytes) -> None:
    with pytest.raises(EngineError, match=r"^m\.onnx: .*; TensorRT says: [^\n]*$"):
        engine.build(data, CONTRACT, trt, EngineOptions(), name="m.onnx")


def test_progress_is_told_by_the_calling_thread_and_never_falls(trt: TensorRT, model: Path) -> None:
    steps: list[BuildStep] = []
    threads = set()

    def tell(step: BuildStep) -> None:
        steps.append(step)
        threads.add(threading.current_thread())

    engine.build(model.read_bytes(), read_contract(model), trt, EngineOptions(), progress=tell)
    assert threads == {threading.current_thread()}
    elapsed = [step.elapsed_s for step in steps]
    fractions = [step.fraction for step in steps if step.fraction is not None]
    assert elapsed == sorted(elapsed)
    assert fractions == sorted(fractions)


def test_ctrl_c_stops_a_build(trt: TensorRT, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("export.engine_progress.TICK_S", 0.01)
    before = set(threading.enumerate())

    def interrupt(step: BuildStep) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        engine.build(model.read_bytes(), read_contract(model), trt, EngineOptions(), progress=interrupt)
    assert set(threading.enumerate()) == before


def test_the_engine_is_built_kept_and_found_again(
    trt: TensorRT,
    model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "edge_runtime")
    monkeypatch.setattr(engines, "find_tensorrt", lambda: trt)
    gpu = GpuFacts("Orin", "8.7", "L4T 36.4.3", 4 << 30)
    options = EngineOptions(optimization_level=1)
    path = engine.build_for(model, gpu, tmp_path, options)
    plan = path.read_bytes()
    assert path == tmp_path / "tower-fp32.engine"
    assert engine.build_for(model, gpu, tmp_path, options) == path
    assert path.read_bytes() == plan
    assert [record.message.endswith("there is none yet") for record in caplog.records].count(True) == 1


def test_building_needs_neither_torch_nor_onnx() -> None:
    script = (
        "import sys\n"
        "absent = ['torch', 'onnx', 'onnxruntime', 'timm', 'onnxsim', 'numpy', 'cv2', 'pycuda']\n"
        "sys.modules.update(dict.fromkeys(absent))\n"
        "import export.engine\n"
        "print([name for name in sys.modules if name.startswith(('train', 'calibration'))])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, timeout=60
    )
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr
