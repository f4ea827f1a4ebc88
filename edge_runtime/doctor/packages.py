"""Python packages: what runs networks and reads video, and our optional extras.

Each is imported in a process of its own: a package built for another machine may end its process.
"""

from __future__ import annotations

import platform
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_runtime import __version__
from edge_runtime.cli import OPTIONAL_PACKAGES
from edge_runtime.doctor.machine import Row
from edge_runtime.jetson import read_l4t

if TYPE_CHECKING:
    from edge_runtime.doctor.machine import Machine

OPENCV, ONNXRUNTIME = "OpenCV", "onnxruntime"
TENSORRT, TENSORRT_RTX, PYCUDA = "TensorRT", "TensorRT-RTX", "pycuda"
EXTRAS = {"train": "training", "export": "export", "jetson": "TensorRT on an NVIDIA GPU"}

_OPENCV_CODE = """
import cv2, json, re
info = cv2.getBuildInformation()
has = lambda name: re.search(rf"^ *{name}: +YES", info, re.M) is not None
print(json.dumps({"version": cv2.__version__, "file": cv2.__file__,
                  "ffmpeg": has("FFMPEG"), "gstreamer": has("GStreamer")}))
"""
_ONNXRUNTIME_CODE = """
import json, onnxruntime
print(json.dumps({"version": onnxruntime.__version__, "providers": onnxruntime.get_available_providers()}))
"""
_TENSORRT_CODE = """
import json
from edge_runtime.errors import EngineError
from edge_runtime.engines.trt import find_tensorrt
try:
    found = find_tensorrt([{name!r}])
    print(json.dumps({{"version": ".".join(map(str, found.version)), "file": found.origin}}))
except EngineError as error:
    print(json.dumps({{"problem": str(error)}}))
"""
_PYCUDA_CODE = """
import json, pycuda
from edge_runtime.backends.cuda import load_pycuda
from edge_runtime.errors import DipsEdgeError
try:
    cuda = ".".join(map(str, load_pycuda().get_version()[:2]))
    print(json.dumps({"version": pycuda.VERSION_TEXT, "cuda": cuda}))
except DipsEdgeError as error:
    print(json.dumps({"problem": str(error)}))
"""


def rows(machine: Machine) -> list[Row]:
    with ThreadPoolExecutor(4) as pool:
        asked = [
            pool.submit(_opencv, machine),
            pool.submit(_onnxruntime, machine),
            pool.submit(_tensorrt, machine, TENSORRT, "tensorrt"),
            pool.submit(_tensorrt, machine, TENSORRT_RTX, "tensorrt_rtx"),
            pool.submit(_pycuda, machine),
        ]
    return [*_ourselves(), *(row for future in asked for row in future.result())]


def extras(machine: Machine) -> list[Row]:
    found = []
    for extra, purpose in EXTRAS.items():
        names = {module: pip for module, (pip, *of) in OPTIONAL_PACKAGES.items() if extra in of}
        absent = [pip for module, pip in names.items() if not machine.installed(module)]
        if absent:
            advice = f"needed for {purpose} only: pip install 'dips-edge[{extra}]'"
            found.append(Row(extra, "missing", f"without {', '.join(absent)}", advice))
        else:
            found.append(Row(extra, "ok", f"for {purpose}"))
    return found


def _ourselves() -> list[Row]:
    where = Path(__file__).parents[2]
    kind = "virtual environment" if sys.prefix != sys.base_prefix else "no virtual environment"
    python = f"{platform.python_version()} on {platform.machine()}, {kind} {sys.prefix}"
    return [Row("dips-edge", "ok", f"{__version__} in {where}"), Row("Python", "ok", python)]


def _opencv(machine: Machine) -> list[Row]:
    answer = _ask(machine, "cv2", _OPENCV_CODE)
    if isinstance(answer, Row):
        return [_named(answer, OPENCV, "needed: pip install opencv-python (on a Jetson JetPack brings one)")]
    where = Path(answer["file"]).parent
    opencv = Row(OPENCV, "ok", f"{answer['version']} in {where}")
    system = _system_package(machine, "cv2")
    if (
        system
        and read_l4t(machine.root)
        and not answer["gstreamer"]
        and system.parent not in (where, *where.parents)
    ):
        advice = (
            "pip uninstall opencv-python opencv-python-headless (environment with --system-site-packages)"
        )
        opencv = Row(
            OPENCV, "problem", f"{opencv.text} hides JetPack's own, with GStreamer, in {system}", advice
        )
    return [
        opencv,
        _built_with(
            "FFmpeg", answer["ffmpeg"], "without it and GStreamer no video opens: pip's OpenCV has it"
        ),
        _built_with("GStreamer", answer["gstreamer"], "CSI cameras need it: JetPack's own OpenCV has it"),
    ]


def _built_with(name: str, has: bool, advice: str) -> Row:
    return Row(name, "ok", "in this OpenCV") if has else Row(name, "missing", "not in this OpenCV", advice)


def _onnxruntime(machine: Machine) -> list[Row]:
    answer = _ask(machine, "onnxruntime", _ONNXRUNTIME_CODE)
    if isinstance(answer, Row):
        return [_named(answer, ONNXRUNTIME, "needed to run on the CPU: pip install onnxruntime")]
    return [Row(ONNXRUNTIME, "ok", f"{answer['version']}, {', '.join(answer['providers'])}")]


def _tensorrt(machine: Machine, name: str, module: str) -> list[Row]:
    answer = _ask(machine, module, _TENSORRT_CODE.format(name=module))
    if isinstance(answer, dict):
        return [Row(name, "ok", f"{answer['version']} in {Path(answer['file']).parent}")]
    hidden = _system_package(machine, module)
    if answer.state == "missing" and hidden is not None:
        advice = "make the virtual environment again: python3 -m venv --system-site-packages DIR"
        return [Row(name, "problem", f"installed in {hidden}, hidden from this Python", advice)]
    optional = name == TENSORRT_RTX
    advice = "" if optional else "needed on a GPU only: JetPack brings it (sudo apt install nvidia-jetpack)"
    return [_named(answer, name, advice)]


def _pycuda(machine: Machine) -> list[Row]:
    answer = _ask(machine, "pycuda", _PYCUDA_CODE)
    if isinstance(answer, Row):
        return [
            _named(
                answer, PYCUDA, "needed on a GPU only: pip install 'dips-edge[jetson]' builds it with nvcc"
            )
        ]
    return [Row(PYCUDA, "ok", f"{answer['version']} for CUDA {answer['cuda']}")]


def _ask(machine: Machine, module: str, code: str) -> dict[str, Any] | Row:
    """The answer of a child process, or a row that says why there is none."""
    if not machine.installed(module):
        return Row(module, "missing", "not installed")
    answer = machine.python(code)
    if isinstance(answer, str):
        return Row(module, "problem", f"installed, but its import {_as_reason(answer)}")
    return Row(module, "problem", str(answer["problem"])) if "problem" in answer else answer


def _as_reason(why: str) -> str:
    return why if why.startswith(("crashes", "gives")) else f"fails: {why}"


def _named(row: Row, name: str, advice: str) -> Row:
    return Row(name, row.state, row.text, advice)


def _system_package(machine: Machine, module: str) -> Path | None:
    """Where the system's own Python has `module`, if it has."""
    for pattern in ("usr/lib/python3*/dist-packages", "usr/local/lib/python3*/dist-packages"):
        for packages in sorted(machine.root.glob(pattern)):
            for found in (*packages.glob(module), *packages.glob(f"{module}.*.so")):
                return found
    return None
