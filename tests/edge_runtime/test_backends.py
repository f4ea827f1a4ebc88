"""onnxruntime on the CPU: what it returns and refuses; which edited files it finds."""

import logging
from pathlib import Path

import numpy as np
import onnx
import pytest

from edge_runtime.backends import open_backend
from edge_runtime.backends.onnx_cpu import MAX_DEFAULT_THREADS, default_threads
from edge_runtime.errors import ModelError, UsageError
from edge_runtime.onnxfile import seal
from tests.edge_runtime.conftest import CONTRACT, SIZE, square_frame, with_contract, write_brightness_model


def frames(count: int) -> np.ndarray:
    return np.stack([square_frame(x=i, y=0, side=8, width=SIZE, height=SIZE) for i in range(count)])


def test_maps_and_class_probabilities_have_the_promised_shapes_types_and_values(model_path):
    backend = open_backend(model_path)
    images = frames(1)
    maps, class_probs = backend.infer(images)
    assert (maps.shape, maps.dtype) == ((1, SIZE, SIZE), np.float32)
    np.testing.assert_allclose(maps, images.mean(axis=3) / 255, atol=1e-6)
    np.testing.assert_allclose(class_probs, [[0.0, 1.0]], atol=1e-6)
    assert backend.contract == CONTRACT
    assert (backend.name, backend.path) == ("onnxruntime-cpu", model_path)
    backend.close()


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("batch", [1, 2])
def test_any_number_of_frames_runs_through_a_fixed_batch(tmp_path, batch, count):
    path = write_brightness_model(tmp_path / "m.onnx", with_contract(batch=batch))
    images = frames(count)
    maps, class_probs = open_backend(path).infer(images)
    np.testing.assert_allclose(maps, images.mean(axis=3) / 255, atol=1e-6)
    assert class_probs.shape == (count, 2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"metadata": None}, "not a dips-edge model", id="no contract"),
        pytest.param({"metadata": "{"}, "metadata is damaged", id="contract cut short"),
        pytest.param({"input_name": "x"}, r"inputs \['x'\], expected one named 'image'", id="input name"),
        pytest.param({"input_type": 1}, r"tensor\(float\).*expected tensor\(uint8\)", id="input type"),
        pytest.param(
            {"metadata": with_contract(input_height=32).to_json()},
            r"expected .*'N', 32, 64, 3",
            id="input size",
        ),
        pytest.param(
            {"metadata": with_contract(classes=("a", "b", "c"), negative_class=None).to_json()},
            r"'class_probs' .*expected .*'N', 3",
            id="class count",
        ),
        pytest.param(
            {"metadata": with_contract(batch=2).to_json()}, "the model does not run", id="another batch"
        ),
    ],
)
def test_a_model_that_breaks_its_contract_is_refused(tmp_path, changes, message):
    path = write_brightness_model(tmp_path / "m.onnx", **changes)
    with pytest.raises(ModelError, match=message) as caught:
        open_backend(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(lambda whole: whole[: len(whole) // 2], id="truncated"),
        pytest.param(lambda whole: b"hello, I am not a model", id="not ONNX"),
        pytest.param(lambda whole: bytes(2000), id="zeros"),
    ],
)
def test_a_damaged_file_is_refused_in_one_line(tmp_path: Path, model_path: Path, content, capfd):
    path = tmp_path / "bad.onnx"
    path.write_bytes(content(model_path.read_bytes()))
    with pytest.raises(ModelError) as caught:
        open_backend(path)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"device": "abacus"}, "unknown device 'abacus', expected one of auto, cpu, tensorrt$"),
        ({"threads": 0}, "threads = 0"),
    ],
    ids=["device", "threads"],
)
def test_arguments_that_cannot_work_are_usage_errors(model_path, arguments, message):
    with pytest.raises(UsageError, match=message):
        open_backend(model_path, **arguments)


def test_threads_default_to_the_physical_cores_up_to_four():
    assert 1 <= default_threads() <= MAX_DEFAULT_THREADS


def test_a_file_edited_after_export_is_refused(tmp_path):
    path = write_brightness_model(tmp_path / "m.onnx")
    path.write_bytes(seal(path.read_bytes()))
    open_backend(path).close()
    model = onnx.load(str(path))
    model.graph.initializer[0].float_data[0] = 128.0
    onnx.save(model, str(path))
    with pytest.raises(ModelError, match="changed after it was exported"):
        open_backend(path)


def test_a_file_of_another_precision_than_asked_for_is_refused(model_path):
    with pytest.raises(ModelError, match=r"square-fp32.onnx: a model of precision fp32, fp16 was asked for"):
        open_backend(model_path, precision="fp16")


def test_a_tensorrt_file_on_the_cpu_runs_with_a_warning(tmp_path, caplog):
    contract = with_contract(precision="int8", target="tensorrt10")
    path = write_brightness_model(tmp_path / "m-int8.onnx", contract)
    open_backend(path, "cpu").close()
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "is an int8 file for TensorRT 10 and newer, this is the CPU" in record.getMessage()
