"""`plan_for` with a builder that only counts: what is built, what is kept, and what people are told."""

from __future__ import annotations

import dataclasses
import logging
import multiprocessing
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from edge_runtime.engines import plan as engines
from edge_runtime.engines.plan import (
    BuildStep,
    BuiltPlan,
    EngineOptions,
    GpuFacts,
    plan_for,
    platform_release,
)
from edge_runtime.engines.timing import read_sealed, timing_cache_path, write_sealed
from edge_runtime.engines.trt import TensorRT
from edge_runtime.errors import EngineError, ModelError
from tests.edge_runtime.conftest import CONTRACT

if TYPE_CHECKING:
    from collections.abc import Callable

TRT = TensorRT(module=None, version=(10, 3, 0), name="tensorrt", origin="")
GPU = GpuFacts("Orin", "8.7", "L4T 36.4.3", free_bytes=3 << 30)


class CountingBuilder:
    """Stands in for `export.engine.build`; every plan it makes is another one."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []
        self.fallback: tuple[str, ...] = ()
        self.warnings: tuple[str, ...] = ()

    def __call__(self, onnx: bytes, contract: Any, trt: Any, options: Any, **more: Any) -> BuiltPlan:
        self.calls.append(more)
        for elapsed in (1.0, 6.0, 7.0):
            more["progress"](BuildStep(elapsed, "Timing", elapsed / 10))
        return BuiltPlan(b"plan %d" % len(self.calls), 95.0, b"timings", self.fallback, self.warnings)


builder = CountingBuilder()  # found by name through `BUILDER`


@pytest.fixture(autouse=True)
def built(monkeypatch: pytest.MonkeyPatch) -> CountingBuilder:
    monkeypatch.setattr(engines, "BUILDER", f"{__name__}:builder")
    builder.calls.clear()
    builder.fallback = builder.warnings = ()
    return builder


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    caplog.set_level(logging.INFO, "edge_runtime")
    return lambda: [record.message for record in caplog.records]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "tower-fp32.onnx"
    path.write_bytes(b"onnx")
    return path


def plan(model: Path, engine_dir: Path | None = None, gpu: GpuFacts = GPU, **more: Any) -> bytes:
    return plan_for(model, CONTRACT, engine_dir, gpu, trt=more.pop("trt", TRT), **more)


def test_an_engine_is_built_once_and_kept_beside_the_model(
    model: Path, built: CountingBuilder, said: Callable[[], list[str]]
) -> None:
    assert plan(model) == plan(model) == b"plan 1"
    assert len(built.calls) == 1
    assert (model.parent / "tower-fp32.engine").read_bytes() == b"plan 1"
    path = model.parent / "tower-fp32.engine"
    assert said() == [
        f"{path}: building the engine for Orin with tensorrt 10.3.0: there is none yet",
        "tower-fp32.engine: building for 6 s, 60% Timing",
        f"{path}: 0.0 MB, built in 95 s",
    ]


def test_what_the_builder_needs_to_know_is_passed_on(model: Path, built: CountingBuilder) -> None:
    plan(model)
    plan(model, gpu=dataclasses.replace(GPU, compute_capability="8.8"))
    assert [call["timing_cache"] for call in built.calls] == [b"", b"timings"]
    assert [(call["free_bytes"], call["name"]) for call in built.calls] == [(3 << 30, "tower-fp32.onnx")] * 2


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        pytest.param(
            {"gpu": dataclasses.replace(GPU, platform="L4T 36.5.0")},
            "platform changed from L4T 36.4.3 to L4T 36.5.0",
            id="JetPack update",
        ),
        pytest.param(
            {"trt": dataclasses.replace(TRT, version=(10, 7, 0))},
            "tensorrt changed from tensorrt 10.3.0 to tensorrt 10.7.0",
            id="TensorRT update",
        ),
        pytest.param(
            {"options": EngineOptions(optimization_level=5)},
            'options changed from {"recipe": 1} to {"optimization_level": 5, "recipe": 1}',
            id="option",
        ),
        pytest.param({"distrust": "TensorRT refused it"}, "TensorRT refused it", id="refused"),
    ],
)
def test_a_stale_engine_is_built_again_with_the_reason_and_the_last_time(
    model: Path, said: Callable[[], list[str]], change: dict[str, Any], reason: str
) -> None:
    plan(model)
    assert plan(model, **change) == b"plan 2"
    assert said()[3].endswith(f"with {change.get('trt', TRT).label}: {reason}")
    last = "" if "distrust" in change else " (last time 95 s)"
    assert said()[4] == f"tower-fp32.engine: building for 6 s{last}, 60% Timing"
    assert plan(model, **{k: v for k, v in change.items() if k != "distrust"}) == b"plan 2"


def test_another_model_of_the_same_name_is_another_engine(model: Path, said: Callable[[], list[str]]) -> None:
    plan(model)
    model.write_bytes(b"trained longer")
    assert plan(model) == b"plan 2"
    assert "onnx sha256 changed from" in said()[3]


def test_a_damaged_engine_is_built_again(model: Path, said: Callable[[], list[str]]) -> None:
    plan(model)
    (model.parent / "tower-fp32.engine").write_bytes(b"plan X")
    assert plan(model) == b"plan 2"
    assert "was changed since it was written" in said()[3]


def test_a_directory_that_cannot_be_written_is_said_loudly_and_flight_goes_on(
    tmp_path: Path, model: Path, built: CountingBuilder, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_bytes(b"")
    where = tmp_path / "file" / "engines"  # no user, not even root, can make a directory there
    assert plan(model, where) == b"plan 1"
    assert plan(model, where) == b"plan 2"
    warnings = [record.message for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 2
    assert f"{where}: the engine cannot be kept (Not a directory)" in warnings[0]
    assert "built again at every start" in warnings[0]
    assert "--engine-dir" in warnings[0]


def test_a_dla_core_has_an_engine_of_its_own_and_says_what_fell_back(
    model: Path, built: CountingBuilder, said: Callable[[], list[str]]
) -> None:
    built.fallback = tuple(f"layer{i}" for i in range(14))
    plan(model)
    plan(model, options=EngineOptions(dla_core=1))
    assert plan(model) == b"plan 1"
    assert (model.parent / "tower-fp32.dla1.engine").read_bytes() == b"plan 2"
    line = next(line for line in said() if "not on the DLA" in line)
    assert line.startswith("14 layers run on the GPU, not on the DLA: layer0, layer1, ")
    assert line.endswith("layer11 and 2 more")


def test_warnings_are_counted_and_the_first_is_shown(
    model: Path, built: CountingBuilder, said: Callable[[], list[str]]
) -> None:
    built.warnings = ("Missing scale for tensor a", "Missing scale for tensor b")
    plan(model)
    assert "TensorRT warned 2 times (-v shows all): Missing scale for tensor a" in said()


def test_a_model_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"gone\.onnx: cannot read this model file"):
        plan(tmp_path / "gone.onnx")


def test_a_build_that_fails_leaves_no_engine(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> BuiltPlan:
        raise EngineError("no")

    monkeypatch.setattr(engines, "_builder", lambda: fail)
    with pytest.raises(EngineError, match=r"^no$"):
        plan(model)
    assert sorted(p.name for p in model.parent.iterdir()) == [".tower-fp32.engine.lock", "tower-fp32.onnx"]


def test_the_named_builder_is_the_one_of_export(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    from export.engine import build

    assert engines._builder() is build


def build_slowly(onnx: bytes, *_: Any, **__: Any) -> BuiltPlan:
    with Path(onnx.decode()).open("a") as log:
        log.write("built\n")
    time.sleep(0.5)
    return BuiltPlan(b"plan", 0.5)


def plan_in_another_process(model: Path, results: Any) -> None:
    engines.BUILDER = f"{__name__}:build_slowly"
    results.put(plan_for(model, CONTRACT, None, GPU, trt=TRT))


def test_two_processes_that_start_together_build_once(tmp_path: Path) -> None:
    model = tmp_path / "tower.onnx"
    model.write_bytes(str(tmp_path / "builds.txt").encode())
    spawn = multiprocessing.get_context("spawn")
    results = spawn.Queue()
    processes = [spawn.Process(target=plan_in_another_process, args=(model, results)) for _ in range(2)]
    for process in processes:
        process.start()
    assert [results.get(timeout=60) for _ in processes] == [b"plan", b"plan"]
    for process in processes:
        process.join(30)
    assert (tmp_path / "builds.txt").read_text() == "built\n"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        pytest.param({}, "unknown", id="nothing known"),
        pytest.param(
            {"etc/nv_tegra_release": "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic\n"},
            "L4T 36.4.3",
            id="Jetson",
        ),
        pytest.param(
            {
                "etc/nv_tegra_release": "# R35 (release), REVISION: 4.1, GCID: 33958178, BOARD: t186ref\n",
                "proc/driver/nvidia/version": (
                    "NVRM version: NVIDIA UNIX Open Kernel Module for aarch64  540.4.0  Release Build\n"
                ),
            },
            "L4T 35.4.1, driver 540.4.0",
            id="Jetson with driver",
        ),
        pytest.param(
            {
                "proc/driver/nvidia/version": "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.183.01  "
                "Sun May 12 19:39:15 UTC 2024\nGCC version:  gcc version 12.3.0\n"
            },
            "driver 535.183.01",
            id="PC",
        ),
        pytest.param({"proc/driver/nvidia/version": "\xff\n"}, "unknown", id="unreadable"),
    ],
)
def test_the_platform_is_read_from_the_system(tmp_path: Path, files: dict[str, str], expected: str) -> None:
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert platform_release(tmp_path) == expected


@pytest.mark.parametrize(
    "content",
    [pytest.param(b"", id="empty"), pytest.param(b"x" * 100, id="junk"), pytest.param(None, id="gone")],
)
def test_a_damaged_timing_cache_is_left_out(tmp_path: Path, content: bytes | None) -> None:
    path = timing_cache_path(tmp_path, "tensorrt 10.3.0", "Orin (nvgpu)", "L4T 36.4.3")
    assert path.name == ".timing-tensorrt-10.3.0-orin-nvgpu-l4t-36.4.3.cache"
    write_sealed(path, b"timings")
    assert read_sealed(path) == b"timings"
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    assert read_sealed(path) == b""
