"""How each TensorRT is asked for each file, and what is refused before anything is built.

The calls go to a recording fake (fake_trt.py); that real builders take them is shown by test_engine.py with
TensorRT-RTX, and for 8.6.0 by test_trt_api.py as far as a machine without a GPU can.
"""

from __future__ import annotations

import dataclasses
import logging
from types import SimpleNamespace
from typing import Any

import pytest

from edge_runtime.contract import ModelContract
from edge_runtime.engines.plan import EngineOptions
from edge_runtime.errors import EngineError
from export.engine import build
from export.engine_offer import MIB, MOST_WORKSPACE, workspace_bytes
from tests.export.fake_trt import FakeTrt

CONTRACT = ModelContract(("background", "tower"), "background", 96, 96, 0.5, 0.5)
FILES = {
    "fp32": ("tower-fp32.onnx", CONTRACT),
    "fp16": ("tower-fp16.onnx", dataclasses.replace(CONTRACT, precision="fp16")),
    "int8": ("tower-int8.onnx", dataclasses.replace(CONTRACT, precision="int8", target="tensorrt10")),
    "trt8": ("tower-int8-trt8.onnx", dataclasses.replace(CONTRACT, precision="int8", target="tensorrt8")),
    "cpu": ("tower-int8-cpu.onnx", dataclasses.replace(CONTRACT, precision="int8", target="cpu")),
}
EXPLICIT, STRONG = 1 << 0, 1 << 1


def ask(fake: FakeTrt, file: str, options: EngineOptions | None = None, **more: Any) -> Any:
    name, contract = FILES[file]
    return build(b"onnx", contract, fake.tensorrt(), options or EngineOptions(), name=name, **more)


@pytest.mark.parametrize(
    ("version", "file", "network", "flags"),
    [
        pytest.param("8.5.2", "fp32", EXPLICIT, [], id="8.5 fp32"),
        pytest.param("8.6.2", "fp16", EXPLICIT, ["FP16"], id="8.6 fp16"),
        pytest.param("8.6.2", "trt8", EXPLICIT, ["FP16", "INT8"], id="8.6 int8"),
        pytest.param("10.3.0", "fp32", STRONG, [], id="10.3 fp32"),
        pytest.param("10.3.0", "fp16", STRONG, [], id="10.3 fp16"),
        pytest.param("10.3.0", "int8", STRONG, [], id="10.3 int8"),
        pytest.param("10.16.2", "trt8", 0, ["FP16", "INT8"], id="10.16 with the file for 8"),
        pytest.param("11.4.1", "fp32", 0, [], id="11 fp32"),
        pytest.param("11.4.1", "fp16", 0, [], id="11 fp16"),
        pytest.param("11.4.1", "int8", 0, [], id="11 int8"),
        pytest.param("11.4.1", "trt8", 0, [], id="11 with the file for 8"),
    ],
)
def test_precision_is_asked_for_by_types_where_they_exist_and_by_flags_elsewhere(
    version: str, file: str, network: int, flags: list[str]
) -> None:
    fake = FakeTrt(version)
    assert ask(fake, file).plan == b"plan"
    assert fake.calls[0] == ("create_network", network)
    assert [call[1] for call in fake.calls if call[0] == "set_flag"] == flags
    assert (("clear_flag", "TF32") in fake.calls) == (file == "fp32")


@pytest.mark.parametrize(
    ("version", "file", "options", "message"),
    [
        pytest.param("8.6.2", "int8", {}, r"needs TensorRT 10 .* use tower-int8-trt8\.onnx", id="typed on 8"),
        pytest.param("8.6.2", "cpu", {}, r"for CPUs; TensorRT 8 wants tower-int8-trt8\.onnx", id="CPU on 8"),
        pytest.param("10.3.0", "cpu", {}, r"for CPUs; TensorRT >= 10 wants tower-int8\.onnx", id="CPU on 10"),
        pytest.param("10.3.0", "fp32", {"dla_core": 0}, "DLAs take fp16, this file is fp32", id="DLA fp32"),
        pytest.param("10.3.0", "int8", {"dla_core": 0}, "DLAs take fp16, this file is int8", id="DLA int8"),
        pytest.param("10.3.0", "fp16", {"dla_core": 0}, "tensorrt 10.3.0 finds 0 DLA cores", id="no DLA"),
    ],
)
def test_what_is_not_offered_is_refused_with_what_is(
    version: str, file: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(EngineError, match=message):
        ask(FakeTrt(version), file, EngineOptions(**options))


@pytest.mark.parametrize(
    ("file", "lacking", "message"),
    [
        pytest.param(
            "trt8", "int8", "int8 is not offered by this GPU; export and run fp16 or fp32", id="int8"
        ),
        pytest.param("fp16", "fp16", "fp16 is not offered by this GPU; export and run fp32", id="fp16"),
    ],
)
def test_a_gpu_without_the_precision_is_refused(file: str, lacking: str, message: str) -> None:
    fake = FakeTrt("8.6.2")
    fake.fast[lacking] = False
    with pytest.raises(EngineError, match=message):
        ask(fake, file)


def test_the_file_for_8_is_taken_by_11_with_a_word_on_the_better_one(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING, "export")
    ask(FakeTrt("11.4.1"), "trt8")
    assert ["tower-int8.onnx is faster" in record.message for record in caplog.records] == [True]


@pytest.mark.parametrize(
    ("version", "network", "flags", "parser_flags"),
    [
        pytest.param("8.6.2", EXPLICIT, ["FP16", "GPU_FALLBACK"], [], id="8.6"),
        pytest.param("10.3.0", 0, ["FP16", "GPU_FALLBACK"], [], id="10.3: weakly typed"),
        pytest.param("11.4.1", 0, ["GPU_FALLBACK"], ["ADJUST_FOR_DLA"], id="11.4.1"),
    ],
)
def test_a_dla_is_used_with_the_gpu_behind_it_and_what_falls_back_is_listed(
    version: str, network: int, flags: list[str], parser_flags: list[str]
) -> None:
    fake = FakeTrt(version)
    fake.dla_cores = 2
    built = ask(fake, "fp16", EngineOptions(dla_core=1))
    assert built.dla_fallback == ("SOFT/b",)
    assert ("create_network", network) in fake.calls
    assert ("default_device_type", "DLA") in fake.calls
    assert ("DLA_core", 1) in fake.calls
    assert [call[1] for call in fake.calls if call[0] == "set_flag"] == flags
    assert [call[1] for call in fake.calls if call[0] == "parser.set_flag"] == parser_flags


@pytest.mark.parametrize(
    ("name", "version", "fits", "expected", "kept"),
    [
        pytest.param("tensorrt", "8.6.2", (b"", b"old"), [b"old"], b"timings", id="it fits"),
        pytest.param("tensorrt", "10.3.0", (b"",), [b"old", b""], b"timings", id="of another GPU"),
        pytest.param("tensorrt_rtx", "1.7.1", (), [], b"", id="RTX has none"),
    ],
)
def test_a_timing_cache_that_does_not_fit_is_replaced(
    name: str, version: str, fits: tuple[bytes, ...], expected: list[bytes], kept: bytes
) -> None:
    fake = FakeTrt(version, name)
    fake.timing_caches_that_fit = fits
    assert ask(fake, "fp16", timing_cache=b"old").timing_cache == kept
    assert [call[1:] for call in fake.calls if call[0] == "set_timing_cache"] == [
        (d, False) for d in expected
    ]


def test_options_reach_the_builder() -> None:
    fake = FakeTrt("10.3.0")
    ask(
        fake,
        "fp16",
        EngineOptions(optimization_level=5, detailed=True, workspace_bytes=MIB),
        free_bytes=8 << 30,
    )
    assert ("builder_optimization_level", 5) in fake.calls
    assert ("profiling_verbosity", "DETAILED") in fake.calls
    assert ("WORKSPACE", MIB) in fake.calls
    assert [call[0] for call in fake.calls].count("progress_monitor") == 1


def test_without_a_word_on_memory_the_limit_is_tensorrts_own() -> None:
    fake = FakeTrt("10.3.0")
    ask(fake, "fp16")
    assert "WORKSPACE" not in [call[0] for call in fake.calls]


@pytest.mark.parametrize(
    ("free_mib", "most_mib", "expected_mib"),
    [
        pytest.param(None, None, None, id="not known"),
        pytest.param(None, 100, 100, id="not known, limit given"),
        pytest.param(690, None, 434, id="4 GB board with a desktop"),
        pytest.param(2656, None, 1992, id="a quarter stays free"),
        pytest.param(2656, 512, 512, id="limit given"),
        pytest.param(2656, 4000, 1992, id="a limit is not raised to what is not there"),
        pytest.param(60000, None, MOST_WORKSPACE // MIB, id="more than any kernel needs"),
    ],
)
def test_scratch_memory_is_what_is_free_less_a_margin(
    free_mib: int | None, most_mib: int | None, expected_mib: int | None
) -> None:
    found = workspace_bytes(
        None if free_mib is None else free_mib * MIB, None if most_mib is None else most_mib * MIB
    )
    assert (None if found is None else found // MIB) == expected_mib


def test_too_little_memory_is_said_before_anything_is_built() -> None:
    fake = FakeTrt("10.3.0")
    with pytest.raises(
        EngineError, match=r"300 MiB of device memory are free, .* at least 384 MiB: stop other"
    ):
        ask(fake, "fp16", free_bytes=300 * MIB)
    assert fake.calls == []


def test_a_failed_build_says_what_tensorrt_said() -> None:
    fake = FakeTrt("8.6.2")
    fake.plan = None
    fake.lines = [("WARNING", "w"), ("ERROR", "10: Could not find any implementation for node\n conv.")]
    with pytest.raises(EngineError) as raised:
        ask(fake, "fp16")
    assert str(raised.value) == (
        "tower-fp16.onnx: TensorRT could not build the engine; "
        "TensorRT says: 10: Could not find any implementation for node conv."
    )


def test_no_gpu_is_one_line() -> None:
    fake = FakeTrt("8.6.2")
    fake.starts = False
    fake.lines = [("WARNING", "CUDA initialization failure with error: 35")]
    with pytest.raises(EngineError, match=r"TensorRT cannot start .*; TensorRT says: CUDA initialization"):
        ask(fake, "fp16")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        pytest.param(
            SimpleNamespace(desc=lambda: "No importer for op:\n Foo", node=lambda: 7),
            "node 7: No importer",
            id="8.6",
        ),
        pytest.param(
            SimpleNamespace(
                desc=lambda: "no importer",
                node=lambda: 7,
                node_name=lambda: "/a/Foo",
                node_operator=lambda: "Foo",
            ),
            r"layer '/a/Foo' \(Foo\): no importer",
            id="10",
        ),
    ],
)
def test_an_operator_it_does_not_know_is_named_with_its_layer(error: Any, expected: str) -> None:
    fake = FakeTrt("8.6.2")
    fake.parser_errors = [error]
    with pytest.raises(EngineError, match=f"tower-fp16.onnx: tensorrt 8.6.2 cannot take it: {expected}"):
        ask(fake, "fp16")
