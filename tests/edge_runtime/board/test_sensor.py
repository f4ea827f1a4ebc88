"""Reading never raises, whatever a file is, says, or becomes."""

from __future__ import annotations

import errno
import json
import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime.board.sampler import BoardSampler
from edge_runtime.board.sensor import Sensor, find, read_line, read_number
from tests.edge_runtime.board.recordings import BOARDS, refuse, unfold
from tests.edge_runtime.board.test_sampler import check, open_files

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("content", "value", "why"),
    [
        pytest.param(b"5016\n", 5.016, "", id="a number"),
        pytest.param(b" -392", -0.392, "", id="negative"),
        pytest.param(b"", None, "holds no number but 'nothing'", id="empty"),
        pytest.param(b"N/A\n", None, "holds no number but 'N/A'", id="words"),
        pytest.param(b"1.5", None, "holds no number but '1.5'", id="no whole number"),
        pytest.param(b"\xff\xfe\0", None, "holds no number but '��'", id="no text"),
        pytest.param(b"9" * 5000, None, f"reads {float('9' * 64) * 1e-3:g}, which cannot be", id="endless"),
        pytest.param(b"-256000", None, "reads -256, which cannot be", id="below what can be"),
    ],
)
def test_a_sensor_reads_a_number_or_says_why_not(tmp_path, content, value, why):
    path = tmp_path / "temp"
    path.write_bytes(content)
    sensor = Sensor("x", path, 1e-3, low=-60, high=200)
    assert sensor.read() == (None if value is None else pytest.approx(value))
    assert sensor.why == why
    sensor.close()


def test_a_sensor_that_goes_and_comes_back_is_read_again(tmp_path):
    path = tmp_path / "temp"
    sensor = Sensor("x", path)
    read = [sensor.read()]
    path.write_text("1")
    read.append(sensor.read())
    path.write_text("2")  # the same open file, as a kernel's file that answers anew
    read.append(sensor.read())
    sensor.close()
    path.unlink()
    read.append(sensor.read())
    assert read == [None, 1, 2, None]
    assert (sensor.good, sensor.failed, sensor.why) == (2, 2, "No such file or directory")


@pytest.mark.parametrize("number", [errno.EAGAIN, errno.ENODATA, errno.ENODEV, errno.EIO])
def test_an_error_of_the_read_itself_is_a_reason_and_leaves_no_file_open(tmp_path, monkeypatch, number):
    path = tmp_path / "temp"
    path.write_text("1")
    files = open_files()

    def refusing(*_: object) -> bytes:
        raise OSError(number, os.strerror(number))

    sensor = Sensor("x", path)
    with monkeypatch.context() as patched:
        patched.setattr(os, "pread", refusing)
        assert sensor.read() is None
    assert sensor.why == os.strerror(number)
    assert open_files() == files
    assert sensor.read() == 1
    sensor.close()


def test_what_is_no_file_is_no_sensor_and_does_not_block(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "directory").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    for name in ("fifo", "directory", "loop", "missing"):
        sensor = Sensor("x", tmp_path / name)
        assert sensor.read() is None
        assert sensor.why
        assert read_line(tmp_path / name) is None
        assert read_number(tmp_path / name) is None


def test_paths_come_in_the_order_of_their_numbers(tmp_path):
    for number in (10, 2, 0):
        (tmp_path / f"cpu{number}").mkdir()
    assert [path.name for path in find(tmp_path, "cpu[0-9]*")] == ["cpu0", "cpu2", "cpu10"]


ODD = st.one_of(
    st.binary(max_size=80),
    st.integers(-(10**30), 10**30).map(lambda number: str(number).encode()),
    st.sampled_from([b"nan", b"inf", b"1e400", b"0x7f", b"\0", b"1_0", b"-1"]),
    st.sampled_from([errno.EACCES, errno.EAGAIN, errno.ENODATA, errno.ENODEV, errno.EIO, errno.EMFILE]),
    st.just(None),
)


@pytest.mark.parametrize("name", BOARDS)
def test_boards_whose_files_are_odd_refused_or_gone_are_sampled_without_an_error(name, tmp_path, monkeypatch):
    refused = unfold(name, tmp_path)
    files = sorted(path for path in tmp_path.rglob("*") if path.is_file())
    whole = {path.resolve(): path.read_bytes() for path in files}

    @settings(max_examples=8, deadline=None)
    @given(st.dictionaries(st.sampled_from(sorted(whole)), ODD, max_size=40))
    def sampled(odd: dict[Path, bytes | int | None]) -> None:
        for path, content in odd.items():
            path.unlink() if content is None else path.write_bytes(
                b"" if isinstance(content, int) else content
            )
        try:
            with monkeypatch.context() as patched:
                numbers = {path: content for path, content in odd.items() if isinstance(content, int)}
                refuse(patched, {**refused, **numbers})
                sampler = BoardSampler(tmp_path, interval_s=10)
                with sampler:
                    pass
            result = sampler.result()
            if result is not None:
                check(result)
                json.dumps(result, allow_nan=False)
        finally:
            for path in odd:
                path.write_bytes(whole[path])

    sampled()


def test_a_root_without_anything_gives_nothing(tmp_path):
    sampler = BoardSampler(tmp_path, interval_s=10)
    with sampler:
        pass
    assert sampler.result() is None
