"""Photos decode to stored BGR pixels; damaged ones are refused by name instead of turning gray."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest

from edge_runtime.errors import DatasetError
from tests.train.photos import with_exif_orientation, write_photo
from train.data.imageheader import read_header
from train.data.imageio import read_image_bgr

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

FORMATS = [".jpg", ".png", ".webp", ".bmp"]


def encode(suffix: str, pixels: NDArray[Any], *flags: int) -> bytes:
    done, data = cv2.imencode(suffix, pixels, list(flags))
    assert done
    return data.tobytes()


GRADIENT = np.dstack([np.tile(np.arange(60, dtype=np.uint8) * 4, (45, 1))] * 3)


@pytest.mark.parametrize("suffix", FORMATS)
def test_header_and_decoder_agree_on_the_size(tmp_path: Path, suffix: str) -> None:
    path = write_photo(tmp_path / f"a{suffix}", width=123, height=77)
    header = read_header(path)
    assert (header.width, header.height, header.orientation) == (123, 77, 1)
    image = read_image_bgr(path, expected_wh=(123, 77))
    assert image.shape == (77, 123, 3)
    assert image.dtype == np.uint8


@pytest.mark.parametrize(
    ("suffix", "pixels", "flags"),
    [
        pytest.param(".webp", GRADIENT, (cv2.IMWRITE_WEBP_QUALITY, 101), id="lossless WebP"),
        pytest.param(
            ".webp", np.dstack([GRADIENT, GRADIENT[..., 0]]), (cv2.IMWRITE_WEBP_QUALITY, 80), id="WebP alpha"
        ),
        pytest.param(".jpg", GRADIENT, (cv2.IMWRITE_JPEG_PROGRESSIVE, 1), id="progressive JPEG"),
        pytest.param(".jpg", GRADIENT, (cv2.IMWRITE_JPEG_RST_INTERVAL, 2), id="JPEG with restart markers"),
    ],
)
def test_other_kinds_of_the_same_formats_are_read(
    tmp_path: Path, suffix: str, pixels: NDArray[np.uint8], flags: tuple[int, ...]
) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(encode(suffix, pixels, *flags))
    header = read_header(path)
    assert (header.width, header.height) == (60, 45)
    assert np.abs(read_image_bgr(path).astype(int) - GRADIENT).mean() < 4  # lossy codecs


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
@pytest.mark.parametrize("order", ["<", ">"])
def test_exif_rotation_is_seen_and_not_applied(tmp_path: Path, orientation: int, order: str) -> None:
    path = write_photo(tmp_path / "a.jpg", width=50, height=20)
    stored = read_image_bgr(path)
    path.write_bytes(with_exif_orientation(path.read_bytes(), orientation, order))
    header = read_header(path)
    assert (header.width, header.height, header.orientation) == (50, 20, orientation)
    assert np.array_equal(read_image_bgr(path), stored)


@pytest.mark.parametrize(
    ("pixels", "expected"),
    [
        pytest.param(np.full((4, 5), 90, np.uint8), 90, id="gray"),
        pytest.param(np.full((4, 5), 0x5AFF, np.uint16), 0x5A, id="16 bit gray"),
        pytest.param(np.full((4, 5, 3), 0x5AFF, np.uint16), 0x5A, id="16 bit colour"),
        pytest.param(np.full((4, 5, 4), 90, np.uint8), 90, id="alpha"),
    ],
)
def test_other_pixel_types_become_three_channels_of_8_bits(
    tmp_path: Path, pixels: NDArray[Any], expected: int
) -> None:
    (tmp_path / "a.png").write_bytes(encode(".png", pixels))
    image = read_image_bgr(tmp_path / "a.png")
    assert image.shape == (4, 5, 3)
    assert image.dtype == np.uint8
    assert (image == expected).all()


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
@pytest.mark.parametrize("kept", [0.0, 0.05, 0.5, 0.99])
def test_a_photo_cut_short_is_refused_by_name(tmp_path: Path, suffix: str, kept: float) -> None:
    path = write_photo(tmp_path / f"cut{suffix}", width=300, height=200)
    data = path.read_bytes()
    path.write_bytes(data[: int(kept * len(data))])
    with pytest.raises(DatasetError, match=f"cut{suffix}"):
        read_image_bgr(path)


def test_a_cut_photo_with_a_whole_thumbnail_inside_is_still_refused(tmp_path: Path) -> None:
    photo = write_photo(tmp_path / "a.jpg", width=300, height=200).read_bytes()
    thumbnail = write_photo(tmp_path / "t.jpg", width=16, height=16).read_bytes()
    segment = b"\xff\xe2" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail
    (tmp_path / "a.jpg").write_bytes(photo[:2] + segment + photo[2:])
    assert read_image_bgr(tmp_path / "a.jpg").shape == (200, 300, 3)
    (tmp_path / "a.jpg").write_bytes(photo[:2] + segment + photo[2:-40])
    with pytest.raises(DatasetError, match="cut short"):
        read_image_bgr(tmp_path / "a.jpg")


def test_bytes_after_the_end_of_a_jpeg_are_no_damage(tmp_path: Path) -> None:
    path = write_photo(tmp_path / "a.jpg")
    path.write_bytes(path.read_bytes() + b"a film \xff\xd9 with any \xff\xda bytes")
    assert read_image_bgr(path).shape == (30, 40, 3)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"GIF89a" + bytes(40), id="another format"),
        pytest.param(b"\xff\xd8\xff\xe0", id="JPEG start only"),
        pytest.param(b"\x89PNG\r\n\x1a\n" + bytes(30), id="PNG start only"),
        pytest.param(b"RIFF\0\0\0\0WEBPVP8 ", id="WebP start only"),
    ],
)
def test_a_file_that_is_no_photo_is_refused_by_header_and_decoder(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x.jpg").write_bytes(data)
    for read in (read_header, read_image_bgr):
        with pytest.raises(DatasetError, match=r"x\.jpg"):
            read(tmp_path / "x.jpg")


def test_a_photo_of_another_size_than_stated_is_refused(tmp_path: Path) -> None:
    path = write_photo(tmp_path / "a.png", width=8, height=6)
    with pytest.raises(DatasetError, match=r"8 x 6 px, but the data set states 6 x 8"):
        read_image_bgr(path, expected_wh=(6, 8))


def test_a_missing_photo_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"gone\.jpg: cannot be read \(No such file"):
        read_image_bgr(tmp_path / "gone.jpg")
