"""What each command imports, what it says when a package is missing, and whose our package names are."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import cv2
import pytest

from tests.edge_runtime.conftest import square_frame, write_brightness_model
from tests.train.photos import write_folders

ROOT = Path(__file__).parent.parent
ROOMS = ("edge_runtime", "calibration", "train", "export")

# Run the command line argv[2:]; packages in argv[1] (comma separated) cannot be imported. At the end, the
# top-level packages that were loaded and do not come with Python are written to file descriptor 3.
DRIVER = """
import sys
before = set(sys.modules)  # an installation may load things of its own at start
import importlib.abc, json, os

class Missing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in sys.argv[1].split(","):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return None

sys.meta_path.insert(0, Missing())
from edge_runtime.cli import main
try:
    main(sys.argv[2:])
finally:
    loaded = {name.partition(".")[0] for name in sys.modules if name not in before}
    os.write(3, json.dumps(sorted(loaded - set(sys.stdlib_module_names))).encode())
"""

TRAINING = ("torch", "torchvision", "timm", "segmentation_models_pytorch", "safetensors", "tensorboard")
GPU = ("tensorrt", "tensorrt_rtx", "pycuda")
HEAVY = (*TRAINING, *GPU, "matplotlib", "onnx", "onnxsim", "PIL", "scipy", "tomli_w")


def dips_edge(*args: object, missing: tuple[str, ...] = ()) -> tuple[int, str, str, set[str]]:
    """Exit code, stdout, stderr and the foreign packages loaded by one command in a fresh interpreter."""
    read, write = os.pipe()
    command = [sys.executable, "-c", DRIVER, ",".join(missing), *map(str, args)]
    # The shell moves the pipe to descriptor 3, whatever its number is here.
    done = subprocess.run(
        ["bash", "-c", f'exec "$@" 3>&{write}', "bash", *command],
        pass_fds=(write,),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    os.close(write)
    with os.fdopen(read) as stream:
        loaded = set(json.loads(stream.read() or "[]"))
    return done.returncode, done.stdout, done.stderr, loaded


@pytest.fixture
def flight(tmp_path: Path) -> tuple[object, ...]:
    """Arguments of a run over one image."""
    model = write_brightness_model(tmp_path / "square-fp32.onnx")
    cv2.imwrite(str(tmp_path / "frame.png"), square_frame())
    return ("run", "--model", model, "--source", tmp_path / "frame.png")


def test_help_loads_the_command_line_library_and_nothing_else() -> None:
    code, out, _, loaded = dips_edge("--help")
    assert code == 0
    assert "train" in out
    assert loaded == {"click", "edge_runtime"}


def test_run_loads_only_what_the_base_install_brings(flight: tuple[object, ...]) -> None:
    code, out, err, loaded = dips_edge(*flight)
    assert code == 0, err
    assert '"class_probs":[0.0,1.0]' in out
    assert {"numpy", "cv2", "click", "onnxruntime", "edge_runtime"} <= loaded
    assert not loaded & {*HEAVY, "train", "export", "calibration"}


def test_run_works_where_no_extra_is_installed(flight: tuple[object, ...]) -> None:
    code, out, err, _ = dips_edge(*flight, missing=HEAVY)
    assert code == 0, err
    assert '"class_probs":[0.0,1.0]' in out


@pytest.mark.parametrize(
    ("command", "package", "pip_name", "extra"),
    [
        ("train", "torch", "torch", "train"),
        ("train", "timm", "timm", "train"),
        pytest.param(
            "train",
            "segmentation_models_pytorch",
            "segmentation-models-pytorch",
            "train",
            marks=pytest.mark.slow,
        ),
        pytest.param("train", "safetensors", "safetensors", "train", marks=pytest.mark.slow),
        ("evaluate", "torch", "torch", "train"),
        ("export", "torch", "torch", "export"),
        pytest.param("export", "timm", "timm", "export", marks=pytest.mark.slow),
        ("export", "onnx", "onnx", "export"),
        pytest.param("export", "onnxsim", "onnxsim", "export", marks=pytest.mark.slow),
    ],
)
def test_a_missing_package_is_named_in_one_line_with_the_extra_to_install(
    tmp_path: Path, command: str, package: str, pip_name: str, extra: str
) -> None:
    data = write_folders(tmp_path / "data")
    arguments = {
        "train": ("train", data, "--out", tmp_path / "run"),
        "evaluate": ("evaluate", tmp_path / "run", data),
        "export": ("export", tmp_path / "run"),
    }[command]
    code, out, err, _ = dips_edge(*arguments, missing=(package,))
    assert code == 1, err
    assert out == ""
    lines = err.splitlines()
    assert len(lines) == 1, err
    assert lines[0].startswith("error: ")
    assert f"{pip_name!r}, which is not installed" in lines[0]
    assert f"pip install 'dips-edge[{extra}]'" in lines[0]


def test_no_foreign_distribution_owns_our_package_names() -> None:
    owners = packages_distributions()
    for room in ROOMS:
        assert set(owners.get(room, [])) <= {"dips-edge"}, room


def test_jetson_is_no_python_package() -> None:
    """It would shadow NVIDIA's own `jetson` package on the board."""
    assert (ROOT / "jetson").is_dir()
    assert not list((ROOT / "jetson").rglob("__init__.py"))


def test_what_flies_calls_nothing_newer_than_python_3_8() -> None:
    """Ruff refuses newer syntax; this finds newer functions, as `str.removeprefix`."""
    pytest.importorskip("vermin", reason="vermin comes with the extra dev")
    flies = [
        "edge_runtime",
        *map(str, sorted(ROOT.glob("export/engine*.py"))),
        "export/board.py",
        "tests/edge_runtime",
    ]
    command = [
        sys.executable,
        "-c",
        "from vermin import main; main()",
        "--target=3.8-",
        "--violations",
        "--no-tips",
    ]
    for asked_first_or_ignored in ("tomllib", "hashlib.new(usedforsecurity)"):
        command += ["--exclude", asked_first_or_ignored]
    command += flies
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_imports_go_one_way() -> None:
    pytest.importorskip("importlinter", reason="import-linter comes with the extra dev")
    script = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout
