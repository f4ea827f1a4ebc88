"""The table of boards, and finding the one a user means."""

from __future__ import annotations

import pytest

from edge_runtime.errors import ProfileError
from edge_runtime.profiling.estimate.boards import BOARDS, Board, find_board


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("orin-nano-8gb", "Orin Nano 8GB"),
        ("orin nano super", "Orin Nano 8GB Super"),
        ("ORIN_NANO_4GB_SUPER", "Orin Nano 4GB Super"),
        ("OrinNanoSuper", "Orin Nano 8GB Super"),
        ("orin nano super 8 GB", "Orin Nano 8GB Super"),
        ("orin nx", "Orin NX 16GB"),
        ("orin-nx-8", "Orin NX 8GB"),
        ("Jetson AGX Orin", "AGX Orin 64GB"),
        ("orin agx 32gb", "AGX Orin 32GB"),
        ("NVIDIA Jetson Xavier NX Developer Kit", "Xavier NX 8GB"),
        ("xavier-nx-16gb", "Xavier NX 16GB"),
        ("jetson thor", "Thor T5000"),
        ("T4000", "Thor T4000"),
        ("NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super", "Orin Nano 8GB Super"),
    ],
)
def test_a_board_is_found_however_it_is_typed(typed, name):
    assert find_board(typed).name == name


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.key)
def test_every_board_is_found_by_its_key_and_its_name(board):
    assert find_board(board.key) is board
    assert find_board(board.name) is board


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        pytest.param("orin nano 16gb", "did you mean orin-nano-8gb", id="a memory it does not come with"),
        pytest.param("orn-nano-8gb", "did you mean orin-nano-8gb", id="a slip of the finger"),
        pytest.param("nano", "did you mean orin-nano-4gb or", id="part of several names"),
        pytest.param("raspberry pi", "known are orin-nano-4gb, ", id="no Jetson"),
        pytest.param("", "known are", id="nothing"),
        pytest.param("gb", "known are", id="only noise"),
    ],
)
def test_an_unknown_board_is_refused_with_what_comes_near(typed, said):
    with pytest.raises(ProfileError) as refusal:
        find_board(typed)
    assert repr(typed) in str(refusal.value)
    assert said in str(refusal.value)


@pytest.mark.parametrize(
    ("name", "tensor_cores"),
    [
        ("Orin Nano 4GB", 16),
        ("Orin Nano 4GB Super", 16),
        ("Orin Nano 8GB", 32),
        ("Orin Nano 8GB Super", 32),
        ("Orin NX 8GB", 32),
        ("Orin NX 8GB Super", 32),
        ("Orin NX 16GB", 32),
        ("Orin NX 16GB Super", 32),
        ("AGX Orin 32GB", 56),
        ("AGX Orin 64GB", 64),
    ],
)
def test_peaks_of_orin_follow_from_its_tensor_cores_and_clock(name, tensor_cores):
    board = find_board(name)
    fp16 = tensor_cores * 256 * 2 * board.gpu_mhz / 1e6
    assert board.fp16_tflops == pytest.approx(fp16, rel=0.01)
    assert board.int8_tops == pytest.approx(2 * fp16, rel=0.01)


@pytest.mark.parametrize(
    ("name", "sparse_tops"), [("Orin Nano 8GB Super", 67), ("Orin Nano 8GB", 41), ("AGX Orin 64GB", 170)]
)
def test_twice_the_int8_peak_is_what_nvidia_gives_for_the_gpu(name, sparse_tops):
    assert 2 * find_board(name).int8_tops == pytest.approx(sparse_tops, rel=0.02)


def test_only_orin_nano_lacks_an_encoder_and_no_nano_has_a_dla():
    assert {board.name for board in BOARDS if not board.encoder} == {
        board.name for board in BOARDS if board.name.startswith("Orin Nano")
    }
    assert not any(board.dla for board in BOARDS if "Nano" in board.name)


def test_numbers_that_are_not_confirmed_are_named_after_fields_of_a_board():
    named = {name for board in BOARDS for name in board.unconfirmed}
    assert named <= set(Board.__dataclass_fields__)
    assert "gpu_mhz" in find_board("thor").unconfirmed
