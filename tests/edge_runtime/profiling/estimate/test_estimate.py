"""What a user sees of an estimate: ranges, headroom, memory, notes, and refusals."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import onnx
import pytest

from edge_runtime.errors import ModelError, ProfileError
from edge_runtime.modelfile import find_model
from edge_runtime.profiling.estimate.boards import BOARDS
from edge_runtime.profiling.estimate.estimate import all_boards, estimate, read_model
from edge_runtime.profiling.estimate.layers import Layer, Network
from edge_runtime.profiling.estimate.render import as_dict, as_text, choice_dict, choice_text
from edge_runtime.profiling.estimate.roofline import PRECISIONS

ROOT = Path(__file__).parent.parent.parent.parent.parent


@pytest.fixture(scope="module")
def demo():
    return read_model(find_model("demo"))


def of_work(demo, *layers, peak_values=0):
    """The demo model with other work in it."""
    return dataclasses.replace(demo, network=Network(layers, peak_values))


def test_the_text_says_first_that_nothing_was_measured_and_then_all_there_is(demo):
    text = as_text(estimate(demo, "orin nano super", "fp16", fps=60))
    first, *rest = text.splitlines()
    assert first == "ESTIMATE, nothing was measured: demo.onnx (320 x 320) as fp16 on Orin Nano 8GB Super"
    for said in (
        "5.47 GFLOP, 1.01 M weights, 50 layers",
        "published latencies of this board",
        "bound by       bandwidth",
        "keeps up: yes",
        "GB: fits (network 12 MB; assumed:",
        "/net/decoder/blocks.3/conv1/conv1.0/Conv",
        "- network call only, ",
        "- the file is fp32: fp16 needs its own file, `dips-edge export RUN --precision fp16`",
        "- no hardware video encoder",
    ):
        assert any(said in line for line in rest), said


def test_the_document_says_the_same_in_numbers(demo):
    found = estimate(demo, "AGX Orin", fps=30)
    told = json.loads(json.dumps(as_dict(found), allow_nan=False))
    assert (told["v"], told["type"], told["measured"]) == (1, "estimate", False)
    assert (told["precision"], told["board"]["key"]) == ("fp32", "agx-orin-64gb")
    latency = told["latency"]
    assert latency["low_ms"] < latency["expected_ms"] < latency["high_ms"]
    assert sum(latency["bound"].values()) == pytest.approx(1, abs=1e-3)
    assert told["headroom"]["used_high"] == pytest.approx(latency["high_ms"] * 30 / 1e3, abs=1e-3)
    assert told["headroom"]["holds"] == "yes"
    assert [layer["ms"] for layer in told["layers"]] == sorted(
        (layer["ms"] for layer in told["layers"]), reverse=True
    )


@pytest.mark.parametrize(
    ("share", "holds"), [(0.5, "yes"), (1.0, "perhaps"), (3.0, "no")], ids=["slow", "on the edge", "too fast"]
)
def test_headroom_compares_the_whole_range_with_a_frames_time(demo, share, holds):
    expected_ms = estimate(demo, "orin nano super").prediction.expected_ms
    assert estimate(demo, "orin nano super", fps=share * 1e3 / expected_ms).holds() == holds


def test_a_batch_has_the_time_of_all_its_frames(demo):
    single = estimate(demo, "orin nano super", fps=30).budget_used()
    four = dataclasses.replace(demo, batch=4)
    assert estimate(four, "orin nano super", fps=30).budget_used() == pytest.approx(
        tuple(used / 4 for used in single)
    )
    assert "batch 4" in as_text(estimate(four, "orin nano super"))


def test_a_network_too_large_for_a_board_is_said_to_be_so(demo):
    large = of_work(demo, Layer("fc", "Gemm", 10**9, 6 * 10**8, 100, 100), peak_values=10**6)
    small_board, big_board = (estimate(large, name, "fp32") for name in ("orin nano 4gb", "agx orin"))
    assert small_board.memory.weights_mb == pytest.approx(2400)
    assert (small_board.memory.fits, big_board.memory.fits) == (False, True)
    assert estimate(large, "orin nano 4gb", "int8").memory.fits
    assert "TOO SMALL" in as_text(small_board)
    assert "too small" in choice_text([small_board])


def test_the_choice_table_has_a_row_per_board_and_precision(demo):
    rows = all_boards(demo, fps=120)
    lines = choice_text(rows).splitlines()
    assert lines[0] == "ESTIMATE, nothing was measured: demo.onnx (320 x 320, 5.5 GFLOP)"
    table = lines[3 : 3 + len(rows)]
    assert len(table) == len(BOARDS) * len(PRECISIONS)
    for index, row in enumerate(rows):
        assert table[index].startswith(row.board.name)
        assert row.precision in table[index].split()
    assert {row.holds() for row in rows} == {"yes", "perhaps", "no", None}
    assert any("no peak known" in line for line in table)
    told = json.loads(json.dumps(choice_dict(rows), allow_nan=False))
    assert (told["v"], told["type"], len(told["rows"])) == (1, "estimate-choice", len(rows))


def test_without_a_wished_rate_nothing_is_said_of_it(demo):
    assert "fps;" not in as_text(estimate(demo, "orin nx"))
    assert "perhaps" not in choice_text(all_boards(demo))
    assert as_dict(estimate(demo, "orin nx"))["headroom"] is None


@pytest.mark.parametrize(
    ("board", "precision", "said"),
    [
        ("thor", "fp16", "nothing: no latency of this chip is published"),
        ("xavier nx", "fp16", "nothing: no latency of this chip is published"),
        ("orin nx 8gb", "fp16", "other Orin boards, not this one"),
        ("agx orin", "fp32", "other Orin boards, not this one at this precision"),
        ("agx orin", "int8", "as if every layer with weights became int8"),
        ("agx orin", "fp16", "the board's 2 DLAs would run"),
        ("orin nx 8gb", "fp16", "the board's DLA would run"),
        ("thor", "int8", "no source gives the int8 peak of this board"),
        ("orin nano 4gb", "fp16", "not confirmed for this board: memory bandwidth"),
    ],
)
def test_what_an_estimate_does_not_rest_on_is_said(demo, board, precision, said):
    assert said in as_text(estimate(demo, board, precision))


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"board": "orin nanoo 8gb"}, "did you mean orin-nano-8gb"),
        ({"board": "orin nx", "precision": "fp8"}, "'fp8', expected one of"),
        ({"board": "orin nx", "fps": 0.0}, "frame rate 0, expected a number above 0"),
        ({"board": "orin nx", "fps": -5.0}, "frame rate -5"),
        ({"board": "orin nx", "fps": float("nan")}, "frame rate nan"),
        ({"board": "orin nx", "fps": float("inf")}, "frame rate inf"),
    ],
)
def test_bad_input_is_one_clear_line(demo, asked, said):
    with pytest.raises(ProfileError) as refusal:
        estimate(demo, **asked)
    assert said in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_file_that_is_not_ours_is_refused(tmp_path):
    foreign = onnx.load(find_model("demo"))
    del foreign.metadata_props[:]
    onnx.save(foreign, str(tmp_path / "foreign.onnx"))
    with pytest.raises(ModelError, match="not a dips-edge model"):
        read_model(tmp_path / "foreign.onnx")


def test_an_estimate_needs_nothing_but_the_base_install():
    code = (
        "import sys\n"
        "sys.modules.update(dict.fromkeys(['torch', 'onnx', 'onnxsim', 'timm', 'tensorrt', 'pycuda']))\n"
        "from edge_runtime.modelfile import find_model\n"
        "from edge_runtime.profiling.estimate.estimate import all_boards, read_model\n"
        "from edge_runtime.profiling.estimate.render import choice_text\n"
        "assert 'onnxruntime' not in sys.modules\n"
        "print(choice_text(all_boards(read_model(find_model('demo')))))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert "Orin Nano 8GB Super" in done.stdout
