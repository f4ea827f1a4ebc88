"""Frames nobody filmed: synthetic ones, and a file that begins again."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from edge_runtime.errors import SourceError
from edge_runtime.sources import open_source
from edge_runtime.sources.looped import Looped


def test_synthetic_frames_have_the_size_asked_for_and_move():
    source = open_source("synthetic://320x200")
    frames = list(itertools.islice(source, 300))
    assert (source.live, source.fps, source.size) == (False, None, (320, 200))
    assert [frame.index for frame in frames] == list(range(300))
    assert all(frame.image_bgr_u8.shape == (200, 320, 3) for frame in frames)
    assert all(np.any(a.image_bgr_u8 != b.image_bgr_u8) for a, b in zip(frames, frames[1:]))


def test_synthetic_frames_with_a_rate_are_a_camera():
    source = open_source("synthetic://64x48?fps=200")
    assert (source.live, source.fps) == (True, 200.0)
    frames = list(itertools.islice(source, 21))
    assert frames[-1].t_capture_ns - frames[0].t_capture_ns >= 99_000_000


@pytest.mark.parametrize(
    "uri",
    ["synthetic://", "synthetic://wide", "synthetic://4x4", "synthetic://99999x10", "synthetic://9x9?f=1"],
)
def test_a_size_or_setting_that_cannot_be_is_refused(uri):
    with pytest.raises(SourceError, match="expected"):
        open_source(uri)


def test_a_looped_file_goes_on_counting(clip_path):
    source = Looped(lambda: open_source(str(clip_path)))
    frames = list(itertools.islice(source, 75))
    assert [frame.index for frame in frames] == list(range(75))
    assert source.passes == 3
    assert (source.fps, source.size, source.skipped) == (25.0, (128, 96), 0)
    source.close()
    assert next(iter(source), None) is None


def test_decoding_is_timed_where_the_source_can_tell(clip_path):
    frame = next(iter(open_source(str(clip_path))))
    assert frame.decode_ns is not None
    assert frame.decode_ns > 0
    assert next(iter(open_source("synthetic://64x48"))).decode_ns is None
