"""Which device and which file of a model directory a run takes; what is installed is played."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from edge_runtime import nvidia
from edge_runtime.backends import cuda, open_backend, tensorrt
from edge_runtime.engines import trt as trtmodule
from edge_runtime.engines.trt import TensorRT
from edge_runtime.errors import EngineError, MissingExtra, UsageError
from tests.edge_runtime.conftest import with_contract, write_brightness_model

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def models(tmp_path) -> Path:
    """A model directory as export writes it."""
    for name, precision, target in [
        ("t-fp32", "fp32", "any"),
        ("t-fp16", "fp16", "any"),
        ("t-int8", "int8", "tensorrt10"),
        ("t-int8-trt8", "int8", "tensorrt8"),
        ("t-int8-cpu", "int8", "cpu"),
    ]:
        contract = with_contract(precision=precision, target=target)
        write_brightness_model(tmp_path / f"{name}.onnx", contract)
    return tmp_path


class Machine:
    """What is installed: a value, or the error of looking for it; `opened` is what TensorRT was given."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **parts: Any) -> None:
        self.opened: list[tuple[Path, Any]] = []
        self.parts = {"driver": object(), "tensorrt": (10, 3), "pycuda": object(), "engine": None, **parts}
        monkeypatch.setattr(nvidia, "open_driver", lambda: self.parts["driver"])
        monkeypatch.setattr(trtmodule, "find_tensorrt", self._find_tensorrt)
        monkeypatch.setattr(cuda, "load_pycuda", lambda: self._part("pycuda"))
        monkeypatch.setattr(tensorrt, "open_tensorrt", self._open)

    def _part(self, name: str) -> Any:
        part = self.parts[name]
        if isinstance(part, Exception):
            raise part
        return part

    def _find_tensorrt(self) -> TensorRT:
        version = self._part("tensorrt")
        return TensorRT(None, version, self.parts.get("name", "tensorrt"), "here")

    def _open(
        self, path: Path, contract: Any, trt: TensorRT, engine_dir: Path | None, dla_core: int | None
    ) -> Any:
        self._part("engine")
        self.dla_core = dla_core
        self.opened.append((path, engine_dir))
        return SimpleNamespace(name=trt.label, contract=contract)


@pytest.mark.parametrize("device", ["auto", "tensorrt"])
def test_tensorrt_is_taken_where_it_works(device, models, monkeypatch, caplog):
    machine = Machine(monkeypatch)
    backend = open_backend(models, device, engine_dir=models / "engines")
    assert backend.name == "tensorrt 10.3"
    assert machine.opened == [(models / "t-fp16.onnx", models / "engines")]
    assert caplog.records == []


@pytest.mark.parametrize(
    ("parts", "level", "message"),
    [
        pytest.param({"driver": None}, logging.DEBUG, "no NVIDIA driver on this machine", id="no GPU: quiet"),
        pytest.param(
            {"tensorrt": EngineError("no usable TensorRT: none")},
            logging.INFO,
            "no usable TensorRT",
            id="TensorRT",
        ),
        pytest.param(
            {"pycuda": MissingExtra("pycuda", "jetson", "TensorRT")},
            logging.INFO,
            r"needs the package 'pycuda'",
            id="pycuda",
        ),
        pytest.param(
            {"engine": EngineError("t-fp16.onnx: no memory")},
            logging.WARNING,
            "t-fp16.onnx: no memory",
            id="engine",
        ),
    ],
)
def test_auto_takes_the_cpu_where_tensorrt_does_not_work_and_says_why(
    parts, level, message, models, monkeypatch, caplog
):
    caplog.set_level(logging.DEBUG, "edge_runtime")
    Machine(monkeypatch, **parts)
    backend = open_backend(models, "auto")
    assert (backend.name, backend.path.name) == ("onnxruntime-cpu", "t-fp32.onnx")
    (record,) = caplog.records
    assert record.levelno == level
    assert message in record.getMessage()
    assert "\n" not in record.getMessage()


@pytest.mark.parametrize("part", ["tensorrt", "pycuda", "engine"])
def test_tensorrt_asked_for_is_never_replaced_by_the_cpu(part, models, monkeypatch):
    Machine(monkeypatch, **{part: EngineError("it does not work")})
    with pytest.raises(EngineError, match="it does not work"):
        open_backend(models, "tensorrt")


@pytest.mark.parametrize(
    ("name", "version", "precision", "expected"),
    [
        pytest.param("tensorrt", (8, 6), None, "t-fp16.onnx", id="8, nothing asked for"),
        pytest.param("tensorrt", (8, 6), "int8", "t-int8-trt8.onnx", id="8, int8"),
        pytest.param("tensorrt", (10, 3), "int8", "t-int8.onnx", id="10, int8"),
        pytest.param("tensorrt", (11, 4), "int8", "t-int8.onnx", id="11, int8"),
        pytest.param("tensorrt_rtx", (1, 7), "int8", "t-int8.onnx", id="RTX, int8"),
        pytest.param("tensorrt", (10, 3), "fp32", "t-fp32.onnx", id="10, fp32"),
    ],
)
def test_the_file_suits_the_tensorrt_that_is_here(name, version, precision, expected, models, monkeypatch):
    machine = Machine(monkeypatch, tensorrt=version, name=name)
    open_backend(models, "tensorrt", precision=precision)
    assert [path.name for path, _ in machine.opened] == [expected]


@pytest.mark.parametrize(
    ("version", "file", "message"),
    [
        ((10, 3), "t-int8-cpu.onnx", "is an int8 file for CPUs, this is tensorrt 10.3; take another file"),
        ((8, 6), "t-int8.onnx", "is an int8 file for TensorRT 10 and newer, this is tensorrt 8.6"),
        ((11, 4), "t-int8-trt8.onnx", "is an int8 file for TensorRT 8.5 to 10, this is tensorrt 11.4"),
    ],
    ids=["of the CPU", "too new", "too old"],
)
def test_a_file_for_another_device_is_refused_before_an_engine_is_built(
    version, file, message, models, monkeypatch
):
    machine = Machine(monkeypatch, tensorrt=version)
    with pytest.raises(EngineError, match=message):
        open_backend(models / file, "tensorrt")
    assert machine.opened == []


def test_a_dla_core_means_tensorrt_and_fp16(models, monkeypatch):
    machine = Machine(monkeypatch, tensorrt=(10, 3), name="tensorrt")
    assert open_backend(models, "auto", dla_core=1).name == "tensorrt 10.3"
    assert machine.dla_core == 1
    with pytest.raises(UsageError, match=r"--dla 1 runs fp16, t-int8\.onnx is int8"):
        open_backend(models, "tensorrt", precision="int8", dla_core=1)
    with pytest.raises(UsageError, match="--dla 1 needs --device tensorrt"):
        open_backend(models, "cpu", dla_core=1)
