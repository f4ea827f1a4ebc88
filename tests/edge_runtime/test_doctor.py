"""The doctor on machines made of files and played programs, and once on this one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import click
import pytest

from edge_runtime import cli, doctor
from edge_runtime.doctor import Machine, Row, examine, run_works
from edge_runtime.doctor.machine import Ran, execute
from edge_runtime.doctor.table import as_text
from tests.edge_runtime.boards import DIST, jetson


def found(examined: dict[str, list[Row]]) -> dict[str, Row]:
    return {row.name: row for rows in examined.values() for row in rows}


def test_a_whole_jetson_has_no_problem(tmp_path):
    machine = jetson(tmp_path)
    rows = found(examine(machine))
    assert {name: row.text for name, row in rows.items() if name not in ("dips-edge", "Python")} == {
        "OpenCV": f"4.8.0 in /{DIST}/cv2",
        "FFmpeg": "in this OpenCV",
        "GStreamer": "in this OpenCV",
        "onnxruntime": "1.23.2, CPUExecutionProvider",
        "TensorRT": f"10.3.0 in /{DIST}/tensorrt",
        "TensorRT-RTX": "not installed",
        "pycuda": "2026.1 for CUDA 12.6",
        "NVIDIA driver": "540.4.0, serves CUDA up to 12.6",
        "GPU": "Orin, compute capability 8.7, 8.0 GB shared with the CPU",
        "CUDA toolkit": "12.6.68 in /usr/local/cuda",
        "Jetson": "NVIDIA Jetson Orin Nano Developer Kit",
        "Jetson Linux": "L4T 36.4.3, JetPack 6.2",
        "power mode": "25W",
        "clocks": "vary with the load",
        "power": "VDD_IN 9.6 W, VDD_CPU_GPU_CV 3.1 W, VDD_SOC 2.4 W",
        "temperatures": "hottest of 6: cpu 49 degC, slows down from 99 degC on; fan 2140 rpm; "
        "no answer from cv0, cv1, cv2",
        "throttling": "none now; over-current events since boot: oc1 0, oc2 0, oc3 27",
        "memory clock": "3199 MHz",
        "/dev/video0": "HD Pro Webcam C920",
        "/dev/video10": "vi-output, imx219 9-0010",
        "memory": "5.2 of 8.0 GB free",
        "swap": "4.0 GB",
        "engine directory": rows["engine directory"].text,
        "train": "for training",
        "export": "for export",
        "jetson": "for TensorRT on an NVIDIA GPU",
    }
    assert [row for row in rows.values() if row.state == "problem"] == []
    assert rows["power mode"].advice == "fastest is MAXN_SUPER: sudo nvpmodel -m 2"
    assert rows["engine directory"].text.startswith(f"{tmp_path}/engines: writable")


def broken(name: str, state: str, text: str, **changes: Any) -> Any:
    return pytest.param(changes, name, state, text, id=f"{name}: {text}")


NEVER = Ran(None, why="no answer within 30 s")
NO_LIBGL = Ran(1, "", "Traceback\n  File x\nImportError: libGL.so.1\n\n")
PIPS_OPENCV = {"version": "5.0.0", "file": "/venv/cv2/__init__.py", "ffmpeg": True, "gstreamer": False}
HIDING = f"5.0.0 in /venv/cv2 hides JetPack's own, with GStreamer, in ROOT/{DIST}/cv2"
FAILS = "installed, but its import"
L4T, MODEL, MODE = "etc/nv_tegra_release", "proc/device-tree/model", "var/lib/nvpmodel/status"
ORIN_NANO = "NVIDIA Jetson Orin Nano Developer Kit"
FIXED_CLOCKS = {
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_min_freq": "1728000\n",
    "sys/devices/system/cpu/cpu4/cpufreq/scaling_min_freq": "1728000\n",
    "sys/class/devfreq/17000000.gpu/min_freq": "1020000000\n",
}


def meminfo(total_mb: int, free_mb: int) -> dict[str, str]:
    return {"proc/meminfo": f"MemTotal: {total_mb}000 kB\nMemAvailable: {free_mb}000 kB\n"}


@pytest.mark.parametrize(
    ("changes", "name", "state", "text"),
    [
        broken("OpenCV", "missing", "not installed", missing=["cv2"]),
        broken("OpenCV", "problem", f"{FAILS} crashes (signal 11)", cv2=Ran(-11)),
        broken("OpenCV", "problem", f"{FAILS} fails: no answer within 30 s", cv2=NEVER),
        broken("OpenCV", "problem", f"{FAILS} fails: ImportError: libGL.so.1", cv2=NO_LIBGL),
        broken("OpenCV", "problem", f"{FAILS} gives no answer", cv2=Ran(0, "what?\n")),
        broken("OpenCV", "problem", HIDING, cv2=PIPS_OPENCV),
        broken("GStreamer", "missing", "not in this OpenCV", cv2=PIPS_OPENCV),
        broken("onnxruntime", "missing", "not installed", missing=["onnxruntime"]),
        broken("TensorRT", "problem", "no Builder", find_tensorrt={"problem": "no Builder"}),
        broken(
            "TensorRT",
            "problem",
            f"installed in ROOT/{DIST}/tensorrt, hidden from this Python",
            missing=["tensorrt"],
        ),
        broken(
            "TensorRT",
            "missing",
            "not installed",
            missing=["tensorrt"],
            files={f"{DIST}/tensorrt/__init__.py": None},
        ),
        broken("pycuda", "missing", "not installed", missing=["pycuda"]),
        broken("pycuda", "problem", "does not load: x", load_pycuda={"problem": "does not load: x"}),
        broken("jetson", "missing", "without pycuda", missing=["pycuda"]),
        broken("train", "missing", "without timm, tensorboard", missing=["timm", "tensorboard"]),
        broken(
            "NVIDIA driver",
            "missing",
            "none (libcuda.so.1): networks run on the CPU",
            read_gpus={"there": False},
        ),
        broken("NVIDIA driver", "problem", "error 999", read_gpus={"there": True, "problem": "error 999"}),
        broken("NVIDIA driver", "problem", "asking it fails: no answer within 30 s", read_gpus=NEVER),
        broken(
            "CUDA toolkit",
            "missing",
            "no nvcc in /usr/local/cuda/bin",
            files={"usr/local/cuda/bin/nvcc": None},
        ),
        broken(
            "CUDA toolkit",
            "ok",
            "unknown version in /usr/local/cuda",
            files={"usr/local/cuda/version.json": "{"},
        ),
        broken("Jetson Linux", "ok", "L4T 36.4.3, JetPack 6.1 or 6.2", files={"var/lib/dpkg/status": None}),
        broken(
            "Jetson Linux",
            "ok",
            "L4T 50.1",
            files={"var/lib/dpkg/status": None, L4T: "# R50 (x), REVISION: 1, G"},
        ),
        broken("Jetson", "problem", f"{ORIN_NANO} without Jetson Linux (/{L4T})", files={L4T: None}),
        broken("Jetson", "missing", "this is none", files={L4T: None, MODEL: None}),
        broken(
            "Jetson",
            "missing",
            "this is none but Raspberry Pi 5",
            files={L4T: None, MODEL: "Raspberry Pi 5\0"},
        ),
        broken("power mode", "ok", "MAXN_SUPER", files={MODE: "pmode:0002"}),
        broken(
            "power mode", "ok", "15W", files={MODE: None}, nvpmodel=Ran(0, "NV Power Mode: MODE_15W\n0\n")
        ),
        broken("power mode", "problem", "unknown (nvpmodel: No such file or directory)", files={MODE: None}),
        broken(
            "power mode",
            "problem",
            "unknown (nvpmodel: run as root)",
            files={MODE: None},
            nvpmodel=Ran(1, "", "run as root\nx"),
        ),
        broken("clocks", "ok", "fixed at their maximum", files=FIXED_CLOCKS),
        broken(
            "power",
            "missing",
            "no power monitor of a Jetson: profile tells no watts",
            files=dict.fromkeys([f"sys/class/hwmon/hwmon1/in{number}_label" for number in (1, 2, 3)]),
        ),
        broken(
            "throttling",
            "problem",
            "now: gpu-throttle-alert; over-current events since boot: oc1 0, oc2 0, oc3 27",
            files={"sys/class/thermal/cooling_device4/cur_state": "2\n"},
        ),
        broken(
            "memory clock",
            "missing",
            "no file of the kernel tells it",
            files={"sys/kernel/debug/bpmp/debug/clk/emc/rate": None},
        ),
        broken("memory", "problem", "0.1 of 8.0 GB free", files=meminfo(7800, 100)),
        broken("memory", "problem", "unknown (/proc/meminfo)", files={"proc/meminfo": None}),
        broken("swap", "problem", "none", files=meminfo(4000, 900)),
        broken("swap", "missing", "none", files=meminfo(9000, 8000)),
    ],
)
def test_what_is_wrong_is_named_and_the_rest_is_still_told(tmp_path, changes, name, state, text):
    examined = examine(jetson(tmp_path, **changes))
    row = found(examined)[name]
    assert (row.state, row.text.replace(str(tmp_path), "ROOT")) == (state, text)
    assert set(examined) == set(doctor.SUBJECTS)
    assert all(rows for rows in examined.values())


@pytest.mark.parametrize(
    ("missing", "answers", "works"),
    [
        pytest.param([], {}, True, id="everything"),
        pytest.param(["tensorrt", "pycuda"], {}, True, id="CPU only"),
        pytest.param(["onnxruntime"], {}, True, id="GPU only"),
        pytest.param(["onnxruntime", "pycuda"], {}, False, id="neither: no pycuda"),
        pytest.param(["onnxruntime"], {"read_gpus": {"there": False}}, False, id="neither: no GPU"),
        pytest.param(["cv2"], {}, False, id="no OpenCV"),
    ],
)
def test_run_works_with_opencv_and_a_cpu_or_a_gpu(tmp_path, missing, answers, works):
    assert run_works(examine(jetson(tmp_path, missing=missing, **answers))) is works


def test_a_camera_this_user_may_not_open_is_a_problem(tmp_path, monkeypatch):
    machine = jetson(tmp_path)
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != "video0")
    rows = found(examine(machine))
    assert (rows["/dev/video0"].state, rows["/dev/video10"].state) == ("problem", "ok")
    assert "usermod -aG video" in rows["/dev/video0"].advice


def test_no_camera_is_missing_and_not_a_problem(tmp_path):
    machine = jetson(tmp_path, files={f"dev/video{number}": None for number in (0, 1, 10)})
    assert found(examine(machine))["camera"].state == "missing"


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes anywhere")
def test_an_engine_directory_that_cannot_be_written_is_a_problem(tmp_path):
    machine = jetson(tmp_path)
    machine.engine_dir.mkdir()
    machine.engine_dir.chmod(0o500)
    row = found(examine(machine))["engine directory"]
    assert row.state == "problem"
    assert "--engine-dir" in row.advice


def test_a_subject_that_breaks_takes_no_other_with_it(tmp_path, monkeypatch):
    def breaks(machine: Machine) -> list[Row]:
        raise KeyError("never seen such a board")

    monkeypatch.setitem(doctor.SUBJECTS, "board", breaks)
    examined = examine(jetson(tmp_path))
    assert examined["board"] == [
        Row("board", "problem", "could not be examined: KeyError: 'never seen such a board'")
    ]
    assert run_works(examined)


def test_a_machine_with_nothing_at_all_is_still_examined(tmp_path):
    machine = Machine(tmp_path, tmp_path, lambda command: Ran(None, why="gone"), lambda name: False)
    examined = examine(machine)
    assert set(examined) == set(doctor.SUBJECTS)
    assert not run_works(examined)


def test_a_program_that_hangs_is_stopped():
    started = time.monotonic()
    ran = execute([sys.executable, "-c", "import time; time.sleep(60)"], timeout_s=0.2)
    assert ran == Ran(None, why="no answer within 0.2 s")
    assert time.monotonic() - started < 20


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        pytest.param("print('{\"a\": 1}')", {"a": 1}, id="answers"),
        pytest.param(
            "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "crashes (signal 11)", id="crashes"
        ),
        pytest.param("raise ValueError('x')", "ValueError: x", id="raises"),
        pytest.param("import sys; sys.exit(3)", "exit code 3", id="ends"),
        pytest.param(
            "import edge_runtime; print('{\"found\": true}')", {"found": True}, id="finds our package"
        ),
    ],
)
def test_code_runs_in_an_interpreter_of_its_own(code, expected, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert Machine().python(code) == expected


def test_the_table_lines_up_and_says_what_to_do():
    rows = {
        "software": [Row("OpenCV", "ok", "5.0"), Row("a long name", "missing", "no", "install it")],
        "board": [Row("Jetson", "problem", "broken")],
    }
    assert click.unstyle(as_text(rows, works=True)).splitlines() == [
        "software",
        "  OpenCV       ok       5.0",
        "  a long name  missing  no",
        "                        → install it",
        "board",
        "  Jetson       problem  broken",
        "",
        "`dips-edge run` works here; one problem found",
    ]


def test_the_command_tells_about_this_machine_as_json():
    command = [sys.executable, "-m", "edge_runtime", "doctor", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert (document["v"], document["type"], document["run_works"]) == (1, "doctor", True)
    states = {row["name"]: row["state"] for row in document["rows"]}
    assert states["OpenCV"] == states["onnxruntime"] == states["Python"] == "ok"
    assert set(states.values()) <= {"ok", "missing", "problem"}


def test_the_command_ends_with_1_where_run_cannot_work(monkeypatch, capsys):
    monkeypatch.setattr(doctor, "examine", lambda machine: {"software": [Row("OpenCV", "missing", "none")]})
    with pytest.raises(SystemExit) as ended:
        cli.main(["doctor"])
    assert ended.value.code == 1
    assert "`dips-edge run` cannot work here" in capsys.readouterr().out
