"""A tiny model whose map is the brightness of the frame, and clips with a bright square in them."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from edge_runtime.contract import METADATA_KEY, ModelContract
from edge_runtime.sources.opencv import be_quiet

if TYPE_CHECKING:
    from pathlib import Path

be_quiet()  # before the first video is opened: FFmpeg reads its log level once

SIZE = 64  # input of the test model

CONTRACT = ModelContract(
    classes=("background", "square"),
    negative_class="background",
    input_height=SIZE,
    input_width=SIZE,
    decision_threshold=0.5,
    presence_threshold=0.4,
    run_id="test",
)


def write_brightness_model(path: Path, contract: ModelContract = CONTRACT, **changes: object) -> Path:
    """Save an ONNX with the file contract: prob = mean of the channels / 255, P(square) = max of prob.

    `changes`: `metadata` replaces the contract text (None leaves it out), `input_name`, `input_type`.
    """
    import onnx
    from onnx import TensorProto, helper

    h, w, n = contract.input_height, contract.input_width, contract.batch
    name = str(changes.get("input_name", "image"))
    nodes = [
        helper.make_node("Cast", [name], ["f"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["f"], ["m"], axes=[3], keepdims=0),
        helper.make_node("Div", ["m", "c255"], ["u"]),
        helper.make_node("Reshape", ["u", "map_shape"], ["prob"]),
        helper.make_node("ReduceMax", ["prob"], ["p"], axes=[2, 3], keepdims=0),
        helper.make_node("Sub", ["one", "p"], ["q"]),
        helper.make_node("Concat", ["q", "p"], ["class_probs"], axis=1),
    ]
    constants = [
        helper.make_tensor("c255", TensorProto.FLOAT, [], [255.0]),
        helper.make_tensor("one", TensorProto.FLOAT, [], [1.0]),
        helper.make_tensor("map_shape", TensorProto.INT64, [4], [n, 1, h, w]),
    ]
    dtype = changes.get("input_type", TensorProto.UINT8)
    graph = helper.make_graph(
        nodes,
        "brightness",
        [helper.make_tensor_value_info(name, dtype, [n, h, w, 3])],
        [
            helper.make_tensor_value_info("prob", TensorProto.FLOAT, [n, 1, h, w]),
            helper.make_tensor_value_info("class_probs", TensorProto.FLOAT, [n, 2]),
        ],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    text = changes.get("metadata", contract.to_json())
    if text is not None:
        helper.set_model_props(model, {METADATA_KEY: str(text)})
    onnx.save(model, str(path))
    return path


@pytest.fixture(scope="session")
def model_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The brightness model, one frame per inference."""
    return write_brightness_model(tmp_path_factory.mktemp("model") / "square-fp32.onnx")


def with_contract(**changes: object) -> ModelContract:
    """The test contract with some fields replaced."""
    return dataclasses.replace(CONTRACT, **changes)  # type: ignore[arg-type]


def square_frame(x: int = 40, y: int = 24, side: int = 32, width: int = 128, height: int = 96) -> np.ndarray:
    """Black (height, width, 3) uint8 with a white square whose corner is at (x, y)."""
    image = np.zeros((height, width, 3), np.uint8)
    image[y : y + side, x : x + side] = 255
    return image


def write_clip(path: Path, frames: list[np.ndarray], fps: float = 25.0) -> Path:
    """Save frames as a motion-JPEG .avi or MPEG-4 .mp4."""
    fourcc = "MJPG" if path.suffix == ".avi" else "mp4v"
    height, width = frames[0].shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*fourcc), fps, (width, height))
    assert writer.isOpened()
    for frame in frames:
        writer.write(frame)
    writer.release()
    return path


@pytest.fixture(scope="session")
def clip_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """30 frames, 128 x 96 at 25 fps: a white square moves right; frames 10..14 are empty."""
    frames = [square_frame(x=20 + 2 * i) if not 10 <= i < 15 else square_frame(side=0) for i in range(30)]
    return write_clip(tmp_path_factory.mktemp("clip") / "square.mp4", frames)
