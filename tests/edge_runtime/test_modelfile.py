"""Which file `--model` means."""

from pathlib import Path

import pytest

from edge_runtime import modelfile
from edge_runtime.errors import ModelError
from edge_runtime.modelfile import find_model, sha256_of


@pytest.mark.parametrize(
    ("files", "precision", "expected"),
    [
        pytest.param(["any-name.onnx"], None, "any-name.onnx", id="the only one"),
        pytest.param(["t-fp16.onnx", "t-fp32.onnx"], None, "t-fp32.onnx", id="fp32 among several"),
        pytest.param(["t-fp16.onnx", "t-fp32.onnx"], "fp16", "t-fp16.onnx", id="the one asked for"),
        pytest.param(["fp32.onnx", "int8.onnx"], "int8", "int8.onnx", id="named by precision alone"),
        pytest.param(
            ["t-fp32.onnx", "t-int8-cpu.onnx"], "int8", "t-int8-cpu.onnx", id="with a target behind"
        ),
    ],
)
def test_a_directory_stands_for_the_file_that_fits(tmp_path, files, precision, expected):
    for name in files:
        (tmp_path / name).write_bytes(b"x")
    assert find_model(tmp_path, precision) == tmp_path / expected


@pytest.mark.parametrize(
    ("files", "precision", "message"),
    [
        pytest.param([], None, "no .onnx file in it", id="empty directory"),
        pytest.param(["a-fp32.onnx", "b-fp32.onnx"], None, "more than one file .*'fp32'", id="ambiguous"),
        pytest.param(["a-fp32.onnx"], "int8", "no file .*'int8' among a-fp32.onnx", id="precision not there"),
        pytest.param(["a.onnx", "b.onnx"], None, "no file .*'fp32' among a.onnx, b.onnx", id="none named"),
    ],
)
def test_a_directory_without_one_fitting_file_is_refused(tmp_path, files, precision, message):
    for name in files:
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(ModelError, match=message):
        find_model(tmp_path, precision)


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
