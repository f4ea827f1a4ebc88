"""Files of a Jetson Orin Nano under a root of our own, and programs that answer as on one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from edge_runtime.doctor.machine import Machine, Ran
from tests.edge_runtime.board.recordings import ORIN_NANO, unfold

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

DIST = "usr/lib/python3.10/dist-packages"
FILES = {
    "etc/nv_tegra_release": "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64\n",
    "proc/device-tree/model": "NVIDIA Jetson Orin Nano Developer Kit\0",
    "proc/meminfo": "MemTotal:  7802000 kB\nMemAvailable:  5100000 kB\nSwapTotal:  3900000 kB\nPages: 0\n",
    "proc/driver/nvidia/version": "NVRM version: NVIDIA UNIX Open Kernel Module  540.4.0  Release\n",
    "var/lib/dpkg/status": "Package: bash\nVersion: 5.1\n\nPackage: nvidia-jetpack\nVersion: 6.2+b77\n\n",
    "etc/nvpmodel.conf": "< POWER_MODEL ID=0 NAME=15W >\nx 1\n< POWER_MODEL ID=1 NAME=25W >\n"
    "< POWER_MODEL ID=2 NAME=MAXN_SUPER >\n< PM_CONFIG DEFAULT=1 >\n",
    "var/lib/nvpmodel/status": "pmode:0001 fmode:fanNull",
    "usr/local/cuda/version.json": '{"cuda": {"name": "CUDA SDK", "version": "12.6.68"}}',
    "usr/local/cuda/bin/nvcc": "",
    "dev/video0": "",
    "dev/video1": "",
    "dev/video10": "",
    "sys/class/video4linux/video0/name": "HD Pro Webcam C920\n",
    "sys/class/video4linux/video0/index": "0\n",
    "sys/class/video4linux/video1/name": "HD Pro Webcam C920\n",
    "sys/class/video4linux/video1/index": "1\n",
    "sys/class/video4linux/video10/name": "vi-output, imx219 9-0010\n",
    f"{DIST}/tensorrt/__init__.py": "",
    f"{DIST}/cv2/__init__.py": "",
}
GPU = {
    "name": "Orin",
    "compute_capability": "8.7",
    "memory_bytes": 7990000000,
    "integrated": True,
    "cuda": "12.6",
}
ANSWERS: dict[str, Any] = {
    "import cv2": {"version": "4.8.0", "file": f"/{DIST}/cv2/__init__.py", "ffmpeg": True, "gstreamer": True},
    "import json, onnxruntime": {"version": "1.23.2", "providers": ["CPUExecutionProvider"]},
    "find_tensorrt(['tensorrt'])": {"version": "10.3.0", "file": f"/{DIST}/tensorrt/__init__.py"},
    "load_pycuda": {"version": "2026.1", "cuda": "12.6"},
    "read_gpus": {"there": True, "gpus": [GPU]},
}


def jetson(root: Path, *, missing: Sequence[str] = (), files: Any = (), **answers: Any) -> Machine:
    """An Orin Nano with everything.

    Args:
        missing: top-level packages that are not installed.
        files: {path: text} to replace or add; None removes a file.
        answers: of child processes, by a word of a key of `ANSWERS`, or of a program: a dict, or a `Ran`.
    """
    unfold(ORIN_NANO, root)
    for path, text in {**FILES, **dict(files)}.items():
        if text is None:
            (root / path).unlink(missing_ok=True)
        else:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text)

    def execute(command: Sequence[str]) -> Ran:
        for key, usual in ANSWERS.items():
            if key in command[-1]:
                answer = next((given for name, given in answers.items() if name in key), usual)
                return (
                    answer if isinstance(answer, Ran) else Ran(0, "a warning\n" + json.dumps(answer) + "\n")
                )
        return answers.get(command[0], Ran(None, why="No such file or directory"))

    absent = {"tensorrt_rtx", *missing}
    return Machine(root, root / "engines", execute, lambda name: name not in absent)
