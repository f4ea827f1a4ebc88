"""Which file `--model` means."""

from pathlib import Path

import pytest

from edge_runtime import modelfile
from edge_runtime.errors import ModelError
from edge_runtime.modelfile import CPU, find_model, sha256_of, tensorrt_suits
from tests.edge_runtime.conftest import with_contract, write_brightness_model


def write(directory: Path, *names: str) -> None:
    """Models named NAME-PRECISION[-TARGET]; any other name is no model of ours."""
    targets = {"cpu": "cpu", "trt8": "tensorrt8", "trt10": "tensorrt10"}
    for name in names:
        _, *words = name.split("-")
        if not words:
            (directory / f"{name}.onnx").write_bytes(b"x")
            continue
        target = targets[words[1]] if len(words) > 1 else "any"
        contract = with_contract(precision=words[0], target=target)
        write_brightness_model(directory / f"{name}.onnx", contract)


ALL = ("t-fp32", "t-fp16", "t-int8-trt10", "t-int8-trt8", "t-int8-cpu")
TRT10, TRT8 = tensorrt_suits("tensorrt 10.3", 10, rtx=False), tensorrt_suits("tensorrt 8.6", 8, rtx=False)


@pytest.mark.parametrize(
    ("files", "precision", "suits", "expected"),
    [
        pytest.param(["any"], None, CPU, "any", id="the only one, whatever it is"),
        pytest.param(ALL, None, CPU, "t-fp32", id="fp32 on the CPU"),
        pytest.param(ALL, None, TRT10, "t-fp16", id="fp16 on a GPU"),
        pytest.param(["t-fp32", "t-int8-trt10"], None, TRT10, "t-fp32", id="fp32 on a GPU without fp16"),
        pytest.param(ALL, "fp16", CPU, "t-fp16", id="the one asked for"),
        pytest.param(ALL, "int8", CPU, "t-int8-cpu", id="int8 on the CPU"),
        pytest.param(ALL, "int8", TRT10, "t-int8-trt10", id="int8 on TensorRT 10"),
        pytest.param(ALL, "int8", TRT8, "t-int8-trt8", id="int8 on TensorRT 8"),
        pytest.param(
            ["t-int8-trt8", "t-fp32"], "int8", TRT10, "t-int8-trt8", id="the older int8 on 10, if alone"
        ),
        pytest.param(["t-int8-cpu", "t-int8-trt10"], None, CPU, "t-int8-cpu", id="no fp32, one that fits"),
        pytest.param(["t-fp32", "broken"], None, CPU, "t-fp32", id="one that is no model of ours beside it"),
    ],
)
def test_a_directory_stands_for_the_file_that_suits_the_device(tmp_path, files, precision, suits, expected):
    write(tmp_path, *files)
    assert find_model(tmp_path, precision, suits) == tmp_path / f"{expected}.onnx"


@pytest.mark.parametrize(
    ("files", "precision", "suits", "message"),
    [
        pytest.param([], None, CPU, "no .onnx file in it", id="empty directory"),
        pytest.param(
            ["a-fp32", "b-fp32"],
            None,
            CPU,
            r"more than one file to take for the CPU among a-fp32.onnx \(fp32\), b-fp32.onnx \(fp32\); give",
            id="two runs",
        ),
        pytest.param(
            ["a-fp32", "a-int8-trt10"],
            "int8",
            CPU,
            r"no file of precision 'int8' for the CPU among .*, a-int8-trt10.onnx \(int8 for tensorrt10\)",
            id="precision only for another device",
        ),
        pytest.param(
            ["a", "b"],
            None,
            TRT10,
            r"no file to take for tensorrt 10.3 among a.onnx \(no valid",
            id="none of ours",
        ),
    ],
)
def test_a_directory_without_one_fitting_file_is_refused(tmp_path, files, precision, suits, message):
    write(tmp_path, *files)
    with pytest.raises(ModelError, match=message):
        find_model(tmp_path, precision, suits)


@pytest.mark.parametrize(
    ("source", "passes"),
    [
        pytest.param("as it was", True, id="the one it was made from"),
        pytest.param("changed", False, id="exported again since"),
        pytest.param("of another run", True, id="of another run"),
        pytest.param("gone", True, id="not there"),
    ],
)
def test_a_file_must_be_made_from_the_fp32_file_beside_it(tmp_path, source, passes):
    fp32 = write_brightness_model(tmp_path / "t-fp32.onnx")
    contract = with_contract(precision="fp16", fp32_sha256=sha256_of(fp32))
    fp16 = write_brightness_model(tmp_path / "t-fp16.onnx", contract)
    write(tmp_path, "t-int8-cpu")
    if source == "changed":
        write_brightness_model(fp32, with_contract(decision_threshold=0.3))
    elif source == "of another run":
        write_brightness_model(fp32, with_contract(run_id="another"))
    elif source == "gone":
        fp32.unlink()
    if passes:
        assert find_model(tmp_path, "fp16") == fp16
    else:
        with pytest.raises(ModelError, match=r"t-fp16.onnx: not made from the t-fp32.onnx beside it"):
            find_model(tmp_path, "fp16")


def test_missing_and_empty_files_are_refused(tmp_path):
    with pytest.raises(ModelError, match="no such model file"):
        find_model(tmp_path / "none.onnx")
    (tmp_path / "empty.onnx").touch()
    with pytest.raises(ModelError, match="the file is empty"):
        find_model(tmp_path / "empty.onnx")


def test_demo_is_the_model_inside_the_package(tmp_path, monkeypatch):
    monkeypatch.setattr(modelfile, "ASSETS", tmp_path)
    with pytest.raises(ModelError, match="demo model is missing"):
        find_model("demo")
    (tmp_path / "demo.onnx").write_bytes(b"x")
    assert find_model("demo") == tmp_path / "demo.onnx"


def test_the_digest_is_that_of_the_content(tmp_path: Path):
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256_of(tmp_path / "a").startswith("ba7816bf8f01cfea")  # FIPS 180-2, appendix B.1
