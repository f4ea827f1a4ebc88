"""The fp32 model file says what the trained network says, and every reader takes it."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest

from edge_runtime.backends import open_backend
from edge_runtime.contract import METADATA_KEY, ModelContract
from edge_runtime.errors import ModelError, UsageError
from edge_runtime.preprocess import resize_frame
from export.fp32 import IR_VERSION, OPSET, build_onnx, export_fp32
from export.parity import check_parity, torch_reference
from tests.export.runs import CLASSES, photos, write_run
from train.data.dataset import load_dataset
from train.data.imageio import read_image_bgr
from train.localizer import load_localizer

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

SIDE = 96  # px, as METRICS says
LOUD = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:ONNX export mode is set:UserWarning")]


def frames(height: int = SIDE, width: int = SIDE) -> list[NDArray[np.uint8]]:
    return [resize_frame(photo, height, width) for photo in photos()]


def test_maps_and_classes_equal_those_of_the_trained_network(run: Path, model: Path) -> None:
    reference = torch_reference(load_localizer(run))
    maps, _ = reference(np.stack(frames()))
    assert maps.max() - maps.min() > 0.05  # an empty map would agree with anything
    parity = check_parity(reference, open_backend(model).infer, frames(), tolerance=1e-5)
    assert parity.frames == 3
    assert parity.map_mean <= parity.map_max <= 1e-5


@pytest.mark.parametrize(
    "encoder",
    [
        pytest.param("resnet18", id="plain first convolution", marks=pytest.mark.slow),
        pytest.param("repvgg_a0", id="parallel branches", marks=pytest.mark.slow),
        pytest.param("mobilenetv3_small_050", id="squeeze and excite, hard swish"),
        pytest.param("nf_resnet26", id="standardised weights: scale stays an operation", marks=LOUD),
    ],
)
def test_other_encoders_and_a_wide_input_export_exactly(tmp_path: Path, encoder: str) -> None:
    run = write_run(tmp_path / "run", encoder)
    export_fp32(run, tmp_path / "m.onnx", photos(1), input_hw=(64, 96))
    candidate = open_backend(tmp_path / "m.onnx").infer
    check_parity(torch_reference(load_localizer(run)), candidate, frames(64, 96), tolerance=1e-5)


def test_the_graph_is_what_old_and_new_parsers_take(model: Path) -> None:
    loaded = onnx.load(model)
    onnx.checker.check_model(loaded, full_check=True)
    assert loaded.ir_version == IR_VERSION == 8
    assert [(o.domain, o.version) for o in loaded.opset_import] == [("", OPSET)]
    kinds = [node.op_type for node in loaded.graph.node]
    assert kinds[:4] == ["Cast", "Transpose", "Sub", "Conv"]  # scale and channel swap are in the weights
    assert not {"Constant", "Shape", "BatchNormalization", "Pad"} & set(kinds)
    for node in loaded.graph.node:
        if node.op_type == "Resize":
            scales = next(t for t in loaded.graph.initializer if t.name == node.input[2])
            assert onnx.numpy_helper.to_array(scales).tolist() == [1, 1, 2, 2]
            assert len(node.input) == 3


def test_inputs_and_outputs_follow_the_contract(model: Path) -> None:
    graph = onnx.load(model).graph
    found = {
        v.name: (v.type.tensor_type.elem_type, [d.dim_value for d in v.type.tensor_type.shape.dim])
        for v in (*graph.input, *graph.output)
    }
    assert found == {
        "image": (onnx.TensorProto.UINT8, [1, SIDE, SIDE, 3]),
        "prob": (onnx.TensorProto.FLOAT, [1, 1, SIDE, SIDE]),
        "class_probs": (onnx.TensorProto.FLOAT, [1, 2]),
    }


def test_tensorrt_parses_and_builds_the_file(model: Path) -> None:
    trt: Any = pytest.importorskip("tensorrt_rtx", reason="no tensorrt_rtx wheel for this platform")
    if not hasattr(trt, "Builder"):
        pytest.skip("tensorrt_rtx is installed without its libraries")
    messages: list[str] = []

    class Logger(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, message: str) -> None:
            if severity <= trt.ILogger.Severity.WARNING:
                messages.append(message)

    logger = Logger()
    builder = trt.Builder(logger)
    network = builder.create_network(0)
    parser = trt.OnnxParser(network, logger)
    assert parser.parse(model.read_bytes()), [parser.get_error(i).desc() for i in range(parser.num_errors)]
    assert [network.get_input(i).name for i in range(network.num_inputs)] == ["image"]
    assert [network.get_output(i).name for i in range(network.num_outputs)] == ["prob", "class_probs"]
    engine = builder.build_serialized_network(network, builder.create_builder_config())
    assert engine is not None
    assert engine.nbytes > 0
    assert messages == []


def test_metadata_makes_the_round_trip(model: Path) -> None:
    text = {p.key: p.value for p in onnx.load(model).metadata_props}[METADATA_KEY]
    contract = ModelContract.from_json(text, str(model))
    assert contract == open_backend(model).contract
    assert (contract.classes, contract.negative_class) == (CLASSES, "background")
    assert (contract.input_height, contract.input_width, contract.batch) == (SIDE, SIDE, 1)
    assert (contract.decision_threshold, contract.presence_threshold) == (0.4, 0.55)
    assert (contract.precision, contract.run_id, contract.fp32_sha256) == ("fp32", "abc123", None)
    assert contract.metrics == {
        "checkpoint": "best",
        "selection": "val boxes",
        "val": {"max_box_acc_v2": 80.0, "tau": 0.35},
        "test": {"max_box_acc_v2": 78.5},
    }
    assert {"torch", "onnx", "dips-edge"} <= set(contract.tools)


def test_the_last_checkpoint_brings_its_own_weights_and_thresholds(run: Path, model: Path) -> None:
    path = run / "last.onnx"
    export_fp32(run, path, photos(1), checkpoint="last")
    last = open_backend(path)
    assert (last.contract.decision_threshold, last.contract.presence_threshold) == (0.3, 0.2)
    assert last.contract.metrics == {"checkpoint": "last", "selection": "none (last epoch)"}
    with pytest.raises(ModelError, match="differs from the trained network"):
        check_parity(open_backend(model).infer, last.infer, frames(), tolerance=1e-3)


def test_the_same_run_gives_the_same_bytes(run: Path, model: Path) -> None:
    export_fp32(run, run / "again.onnx", photos(1))
    assert (run / "again.onnx").read_bytes() == model.read_bytes()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(lambda maps, probs: (maps + 2e-5, probs), "map by 2.0e-05", id="map off"),
        pytest.param(lambda maps, probs: (maps, probs - 1e-3), "class by 1.0e-03", id="class off"),
        pytest.param(lambda maps, probs: (maps * np.nan, probs), "map by nan", id="not a number"),
    ],
)
def test_parity_refuses_what_differs(run: Path, change: Any, message: str) -> None:
    reference = torch_reference(load_localizer(run))
    with pytest.raises(ModelError, match=message):
        check_parity(reference, lambda f: change(*reference(f)), frames(), tolerance=1e-5)


def test_a_file_damaged_on_the_way_is_refused(model: Path, tmp_path: Path) -> None:
    data = model.read_bytes()
    (tmp_path / "cut.onnx").write_bytes(data[: len(data) // 2])
    with pytest.raises(ModelError, match=r"cut\.onnx: cannot open as a model"):
        open_backend(tmp_path / "cut.onnx")
    bare = onnx.load(model)
    del bare.metadata_props[:]
    onnx.save(bare, tmp_path / "bare.onnx")
    with pytest.raises(ModelError, match=r"bare\.onnx: not a dips-edge model"):
        open_backend(tmp_path / "bare.onnx")


def test_a_size_the_network_cannot_take_is_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="size 100x96: both sides must be multiples of 32"):
        export_fp32(run, tmp_path / "m.onnx", photos(1), input_hw=(100, 96))


@pytest.mark.data
@pytest.mark.parametrize("name", ["towerline", "critters"])
def test_drone_photos_give_the_same_map_as_the_trained_network(
    run: Path, model: Path, research_data: Path, name: str
) -> None:
    images = load_dataset(research_data / name, splits=("val",)).splits["val"][:8]
    seen = [resize_frame(read_image_bgr(i.path), SIDE, SIDE) for i in images]
    parity = check_parity(torch_reference(load_localizer(run)), open_backend(model).infer, seen, 1e-5)
    assert parity.frames == 8


def test_export_does_not_change_the_network_it_is_given(run: Path) -> None:
    localizer = load_localizer(run)
    before = torch_reference(localizer)(np.stack(frames()))
    build_onnx(localizer, (64, 64))
    for a, b in zip(before, torch_reference(localizer)(np.stack(frames())), strict=True):
        assert np.array_equal(a, b)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        pytest.param(lambda r: (r / "metrics.json").unlink(), "the run is not finished", id="no metrics"),
        pytest.param(
            lambda r: (r / "metrics.json").write_text("{"), r"metrics.json: damaged", id="broken json"
        ),
        pytest.param(lambda r: (r / "metrics.json").write_text("{}"), "KeyError: 'best'", id="key missing"),
        pytest.param(
            lambda r: (r / "localizer.safetensors").unlink(), "localizer.safetensors: not there", id="weights"
        ),
        pytest.param(
            lambda r: (r / "localizer.safetensors").write_bytes(b"x" * 99), "cannot be read", id="damaged"
        ),
    ],
)
def test_an_incomplete_run_is_refused(tmp_path: Path, run: Path, damage: Any, message: str) -> None:
    damaged = shutil.copytree(run, tmp_path / "run")
    damage(damaged)
    with pytest.raises(ModelError, match=message):
        export_fp32(damaged, tmp_path / "m.onnx", photos(1))
    assert not (tmp_path / "m.onnx").exists()


def test_a_run_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such run directory"):
        export_fp32(tmp_path / "gone", tmp_path / "m.onnx", photos(1))
