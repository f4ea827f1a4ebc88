"""Every attribute of TensorRT that our sources use exists in each TensorRT they are used with.

Three sources of truth: the installed `tensorrt_rtx`; a table of facts from the Python bindings of the
releases; and the real `tensorrt` 8.6.0 wheel, where DIPS_EDGE_TRT86_PYTHON names an interpreter that has it
(CPython 3.10: `pip install --no-deps tensorrt==8.6.0 nvidia-cuda-runtime-cu12==12.1.105
nvidia-cublas-cu12==12.1.3.1 nvidia-cudnn-cu12==8.9.2.26`).
"""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

import pytest

from tests.export.trt_uses import (
    HOLDERS,
    MODULE,
    PASS_ON,
    ROOT,
    Use,
    all_uses,
    files_with_the_module,
    unknown_bases,
    uses_in,
)

RELEASES = ("8.6", "10.3", "10.13", "11")
# In the Python bindings of all RELEASES. What is in 8.6 (the wheel) and in 10.13 (its type stubs) is in
# between, too; those of 11 are the names of TensorRT-RTX 1.7.
EVERYWHERE = {
    MODULE: "Builder BuilderFlag DataType DeviceType ILogger IProfiler LayerType MemoryPoolType "
    "NetworkDefinitionCreationFlag OnnxParser ProfilingVerbosity Runtime TensorIOMode",
    "Builder": "build_serialized_network create_builder_config create_network num_DLA_cores",
    "BuilderFlag": "GPU_FALLBACK TF32",
    "DataType": "FLOAT UINT8",
    "DeviceType": "DLA",
    "IBuilderConfig": "DLA_core builder_optimization_level can_run_on_DLA clear_flag create_timing_cache "
    "default_device_type get_timing_cache profiling_verbosity set_flag set_memory_pool_limit "
    "set_timing_cache",
    "ICudaEngine": "create_execution_context get_tensor_dtype get_tensor_mode get_tensor_name "
    "get_tensor_shape num_io_tensors",
    "IExecutionContext": "execute_async_v3 profiler set_tensor_address",
    "ILayer": "name type",
    "INetworkDefinition": "get_layer num_layers",
    "ITimingCache": "serialize",
    "LayerType": "CONSTANT",
    "MemoryPoolType": "WORKSPACE",
    "OnnxParser": "get_error num_errors parse",
    "ParserError": "desc node",
    "ProfilingVerbosity": "DETAILED",
    "Runtime": "deserialize_cuda_engine",
    "TensorIOMode": "INPUT",
}
SOMEWHERE = {
    "IProgressMonitor": ("10.3", "10.13", "11"),
    "IBuilderConfig.progress_monitor": ("10.3", "10.13", "11"),
    "OnnxParserFlag": ("10.3", "10.13", "11"),
    "OnnxParser.set_flag": ("10.3", "10.13", "11"),
    "OnnxParserFlag.ADJUST_FOR_DLA": ("11",),
    "ParserError.node_name": ("10.13", "11"),
    "ParserError.node_operator": ("10.13", "11"),
    "NetworkDefinitionCreationFlag.EXPLICIT_BATCH": ("8.6", "10.3", "10.13"),
    "NetworkDefinitionCreationFlag.STRONGLY_TYPED": ("10.3", "10.13", "11"),
}
# Used without asking, but only by releases that have it: tests/export/test_engine_offer.py holds that.
REACHED = {
    "NetworkDefinitionCreationFlag.EXPLICIT_BATCH": ("8.6",),
    "NetworkDefinitionCreationFlag.STRONGLY_TYPED": ("10.3", "10.13"),
    "OnnxParser.set_flag": ("11",),  # with OnnxParserFlag.ADJUST_FOR_DLA
}


def exists(use: Use, release: str) -> bool:
    return use.attribute in EVERYWHERE.get(use.owner, "").split() or release in SOMEWHERE.get(str(use), ())


def test_the_sources_still_use_what_the_facts_are_about() -> None:
    """A table that no longer fits the sources would check nothing."""
    found = {str(use) for use in all_uses()}
    listed = {str(Use(owner, name, False)) for owner, names in EVERYWHERE.items() for name in names.split()}
    assert found - listed - set(SOMEWHERE) == set()
    assert listed | set(SOMEWHERE) <= found
    assert all(uses_in(path) for path in HOLDERS)
    assert files_with_the_module() <= {*HOLDERS, *PASS_ON}


@pytest.mark.parametrize("release", RELEASES)
def test_by_the_facts_every_release_has_what_it_is_asked_for(release: str) -> None:
    missing = [
        str(use)
        for use in all_uses()
        if not use.guarded and release in REACHED.get(str(use), RELEASES) and not exists(use, release)
    ]
    assert missing == []


@pytest.fixture(scope="module")
def rtx() -> Any:
    trt = pytest.importorskip("tensorrt_rtx", reason="no tensorrt_rtx wheel for this platform")
    if not hasattr(trt, "Builder"):
        pytest.skip("tensorrt_rtx is installed without its libraries")
    return trt


def test_tensorrt_rtx_has_every_attribute(rtx: Any) -> None:
    """RTX also stands for TensorRT 11, whose Python names it shares."""
    for use in all_uses():
        owner = getattr(rtx, use.owner) if use.owner else rtx
        expected = str(use) != "NetworkDefinitionCreationFlag.EXPLICIT_BATCH"  # removed in 11
        assert hasattr(owner, use.attribute) == expected, str(use)
        if "11" in SOMEWHERE.get(str(use), ("11",)):
            assert exists(use, "11"), str(use)


@pytest.mark.parametrize("path", HOLDERS)
def test_no_use_hides_behind_a_new_variable(rtx: Any, path: str) -> None:
    """Every expression with an attribute called as one of TensorRT's is known to be one, or not to be one."""
    classes = [value for value in vars(rtx).values() if isinstance(value, type)]
    names = {name for c in classes for name in dir(c)} | set(dir(rtx))
    assert unknown_bases(path, names - set(dir(object)) - set(vars(type(rtx)))) == set()


# Run by an interpreter with the real wheel; the libraries that pip brings lie where no loader looks.
WITH_THE_WHEEL = """
import ctypes, glob, json, site, sys
for _ in range(2):  # some need others of them
    for name in sorted(glob.glob(site.getsitepackages()[0] + "/nvidia/*/lib/*.so*")):
        try:
            ctypes.CDLL(name, ctypes.RTLD_GLOBAL)
        except OSError:
            pass
import tensorrt
"""
LIST_MISSING = """
missing = []
for owner, attribute in json.load(sys.stdin):
    if not hasattr(getattr(tensorrt, owner, None) if owner else tensorrt, attribute):
        missing.append([owner, attribute])
print(json.dumps([tensorrt.__version__, missing]))
"""
TRY_TO_BUILD = """
from edge_runtime.contract import ModelContract
from edge_runtime.engines.plan import EngineOptions
from edge_runtime.errors import EngineError
from edge_runtime.engines.trt import find_tensorrt
from export.engine import build
trt = find_tensorrt()
contract = ModelContract(("background", "tower"), "background", 96, 96, 0.5, 0.5)
try:
    build(b"", contract, trt, EngineOptions(), name="tower-fp32.onnx")
except EngineError as error:
    print(json.dumps([trt.label, trt.strongly_typed, trt.has_flags, str(error)]))
"""


def run_with_the_wheel(script: str, given: object = None) -> Any:
    python = os.environ.get("DIPS_EDGE_TRT86_PYTHON")
    if not python:
        pytest.skip("DIPS_EDGE_TRT86_PYTHON is not set: no interpreter with the tensorrt 8.6.0 wheel")
    done = subprocess.run(
        [python, "-c", WITH_THE_WHEEL + script],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        timeout=300,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_the_real_8_6_0_has_every_attribute_the_facts_promise() -> None:
    uses = sorted(all_uses())
    version, missing = run_with_the_wheel(LIST_MISSING, [(use.owner, use.attribute) for use in uses])
    assert version == "8.6.0"
    lacking = {str(Use(owner, attribute, False)) for owner, attribute in missing}
    assert lacking == {str(use) for use in uses if not exists(use, "8.6")}
    unguarded = {str(use) for use in uses if not use.guarded and "8.6" in REACHED.get(str(use), RELEASES)}
    assert not lacking & unguarded


def test_the_real_8_6_0_has_the_flags_that_are_asked_for_by_name() -> None:
    names = [("BuilderFlag", "FP16"), ("BuilderFlag", "INT8"), ("Builder", "platform_has_fast_fp16")]
    names += [("Builder", "platform_has_fast_int8"), ("NetworkDefinitionCreationFlag", "EXPLICIT_BATCH")]
    assert run_with_the_wheel(LIST_MISSING, names) == ["8.6.0", []]


def test_the_builder_runs_on_the_real_8_6_0_up_to_the_missing_gpu() -> None:
    label, strongly_typed, has_flags, message = run_with_the_wheel(TRY_TO_BUILD)
    assert (label, strongly_typed, has_flags) == ("tensorrt 8.6.0", False, True)
    assert message.startswith("TensorRT cannot start (no NVIDIA GPU or driver?); TensorRT says: ")
    assert "CUDA initialization failure" in message
