"""`dips-edge calibrate` and `dips-edge calibration report`: what they write, print and refuse."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import cv2
import onnx
import pytest

from calibration.table import CalibrationTable
from edge_runtime import cli
from edge_runtime.backends import open_backend
from tests.calibration.finder import finder, scenes
from tests.edge_runtime.conftest import with_contract

if TYPE_CHECKING:
    from pathlib import Path

FILES = ["tower-calibration.json", "tower-int8-cpu.onnx", "tower-int8-trt8.onnx", "tower-int8.onnx"]


def dips_edge(capsys: pytest.CaptureFixture[str], *args: object) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of one command line."""
    with pytest.raises(SystemExit) as done:
        cli.main([str(arg) for arg in args])
    out, err = capsys.readouterr()
    return int(done.value.code or 0), out, err


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """tower-fp32.onnx and photos/ with twelve images."""
    onnx.save(finder(ruined=True), str(tmp_path / "tower-fp32.onnx"))
    (tmp_path / "photos").mkdir()
    for i, frame in enumerate(scenes(12)):
        cv2.imwrite(str(tmp_path / "photos" / f"{i:02}.png"), frame)
    return tmp_path


def test_calibrate_writes_all_files_beside_the_model_and_prints_their_paths(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = dips_edge(capsys, "calibrate", folder, folder / "photos", "--threads", 1)
    assert code == 0, err
    written = sorted(p.name for p in folder.iterdir() if p.name not in ("photos", "tower-fp32.onnx"))
    assert written == FILES
    assert sorted(out.split()) == [str(folder / name) for name in FILES[1:]]
    assert "calibrating on 12 of 12 photos" in err
    table = CalibrationTable.read(folder / "tower-calibration.json")
    assert (table.float_layers, table.frames) == (("pw",), 12)
    assert open_backend(folder, precision="int8").contract.target == "cpu"

    code, _, err = dips_edge(capsys, "calibrate", folder, folder / "photos", "--threads", 1)
    assert code == 2
    assert "exists; pass --force to replace it" in err
    before = (folder / "tower-int8.onnx").read_bytes()
    options = ("--threads", 1, "--force", "--json", "-q", "--method", "max", "--out", folder)
    code, out, _ = dips_edge(capsys, "calibrate", folder / "tower-fp32.onnx", folder / "photos", *options)
    assert code == 0
    said = json.loads(out)
    assert [file["target"] for file in said["files"]] == ["tensorrt10", "tensorrt8", "cpu"]
    assert said["files"][0]["float_layers"] == ["pw"]
    assert [trial["method"] for trial in said["methods"]] == ["max"]
    assert (folder / "tower-int8.onnx").read_bytes() == before  # the same calibration, byte for byte


def test_report_prints_a_table_and_writes_json_and_svg(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out_dir = folder / "new" / "report"
    args = ("calibration", "report", folder / "tower-fp32.onnx", folder / "photos", "--out", out_dir)
    code, out, err = dips_edge(capsys, *args, "--threads", 1, "--layer-frames", 6, "--method", "max")
    assert code == 0, err
    rows = [line.split()[0] for line in out.splitlines()[-4:]]
    assert rows[0] == "pw"
    assert sorted(rows) == ["dw", "mix", "pw", "stem"]
    said = json.loads((out_dir / "tower-layers.json").read_text())
    assert said["always_float"] == ["head"]
    assert said["frames"] == 6
    assert [layer["layer"] for layer in said["layers"]] == rows
    drawn = ElementTree.parse(out_dir / "tower-layers.svg").getroot()
    colours = [bar.get("fill") for bar in drawn.iter() if bar.get("height") == "13"]
    assert len(colours) == 4
    assert len(set(colours[1:])) == 1  # only the worst is marked
    assert colours[0] != colours[1]


def fp16(folder: Path) -> tuple[object, ...]:
    onnx.save(finder(with_contract(precision="fp16")), str(folder / "other-fp16.onnx"))
    return folder / "other-fp16.onnx", folder / "photos"


def few(folder: Path) -> tuple[object, ...]:
    for path in sorted((folder / "photos").iterdir())[5:]:
        path.write_bytes(b"")
    return folder / "tower-fp32.onnx", folder / "photos"


def not_a_model(folder: Path) -> tuple[object, ...]:
    (folder / "x.onnx").write_bytes(b"no model at all")
    return folder / "x.onnx", folder / "photos"


def edited(folder: Path) -> tuple[object, ...]:
    from calibration.contracts import contract_of, sealed_bytes

    model = finder()
    data = bytearray(sealed_bytes(model, contract_of(model, "")))
    data[len(data) // 2] ^= 1
    (folder / "e-fp32.onnx").write_bytes(data)
    return folder / "e-fp32.onnx", folder / "photos"


@pytest.mark.parametrize(
    ("make", "code", "said"),
    [
        pytest.param(lambda f: (f / "gone.onnx", f / "photos"), 1, "gone.onnx: no such model", id="no model"),
        pytest.param(not_a_model, 1, "x.onnx: ", id="not a model"),
        pytest.param(edited, 1, "e-fp32.onnx: ", id="edited by hand"),
        pytest.param(fp16, 1, "an fp16 file; give the fp32 one", id="fp16 file"),
        pytest.param(lambda f: (f, f / "gone"), 1, "no such file or folder", id="no data"),
        pytest.param(few, 1, "5 image(s) that can be read, expected at least 8", id="unreadable images"),
        pytest.param(
            lambda f: (f, f / "photos", "--method", "best"), 2, "'best': expected one of", id="no such method"
        ),
        pytest.param(
            lambda f: (f, f / "photos", "--calib-frames", 4), 2, "expected a number from 8 on", id="too few"
        ),
        pytest.param(
            lambda f: (f, f / "photos", "--out", f / "tower-fp32.onnx"), 2, "is a file", id="out is a file"
        ),
        pytest.param(lambda f: (f, f / "photos", "--out", "/proc/x"), 2, "not writable", id="read-only out"),
    ],
)
def test_what_cannot_work_is_one_clear_line_and_leaves_nothing(  # type: ignore[no-untyped-def]
    folder: Path, capsys: pytest.CaptureFixture[str], make, code: int, said: str
) -> None:
    args = make(folder)
    before = sorted(folder.rglob("*"))
    for command in (("calibrate",), ("calibration", "report")):
        found, out, err = dips_edge(capsys, *command, *args, "--threads", 1, "-q")
        assert found == code, err
        assert out == ""
        errors = [line for line in err.splitlines() if not line.startswith("warning: skipped")]
        assert len(errors) == 1, err
        assert errors[0].startswith("error: ")
        assert said in errors[0]
    assert sorted(folder.rglob("*")) == before


def test_an_interrupted_calibration_leaves_nothing(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    before = sorted(folder.rglob("*"))
    monkeypatch.setattr("calibration.quantize.try_methods", interrupt)
    code, out, _ = dips_edge(capsys, "calibrate", folder, folder / "photos", "--threads", 1)
    assert (code, out) == (130, "")
    assert sorted(folder.rglob("*")) == before


def test_a_disk_that_fills_up_leaves_nothing(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    before = sorted(folder.rglob("*"))
    monkeypatch.setattr("os.fsync", full)
    code, _, err = dips_edge(capsys, "calibrate", folder, folder / "photos", "--threads", 1, "-q")
    assert code == 1
    assert "No space left on device" in err
    assert sorted(folder.rglob("*")) == before
