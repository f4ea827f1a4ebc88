"""A small network that finds bright squares, by weights made by hand; and one with a layer int8 ruins."""

from __future__ import annotations

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper

from edge_runtime.contract import METADATA_KEY, ModelContract
from tests.edge_runtime.conftest import CONTRACT, SIZE, square_frame

CHANNELS = 8
LOUD = 3000.0  # how much louder the useless channel of the ruined layer's input is than the useful ones


def finder(contract: ModelContract = CONTRACT, *, ruined: bool = False) -> ModelProto:
    """uint8 NHWC ──Conv stem, dw, pw, mix, each with ReLU──▶ Conv head ──▶ prob; global mean ──▶ class_probs.

    With `ruined`, one channel that nobody uses dominates the range of what "pw" reads.
    """
    rng = np.random.default_rng(0)
    stem = rng.normal(0, 2e-4, (CHANNELS, 3, 3, 3)) + rng.uniform(0.5, 1.5, (CHANNELS, 1, 1, 1)) / (27 * 128)
    dw = np.zeros((CHANNELS, 1, 3, 3))
    dw[:, 0, 1, 1] = 1.0
    pw = rng.uniform(0.5, 1.5, (CHANNELS, CHANNELS, 1, 1)) / CHANNELS
    if ruined:
        dw[-1] *= LOUD
        pw[:, -1] = 0.0
    head = np.full((1, CHANNELS, 1, 1), 12.0 / CHANNELS)
    constants = {
        "mean": np.full((1, 3, 1, 1), 60.0),
        "stem_w": stem,
        "dw_w": dw,
        "pw_w": pw,
        "mix_w": rng.uniform(0.5, 1.5, (CHANNELS, CHANNELS, 1, 1)) / CHANNELS,
        "head_w": head,
        "head_b": np.array([-5.0]),
        "class_w": np.stack([np.full(CHANNELS, -9.0), np.full(CHANNELS, 9.0)], axis=1) / CHANNELS,
        "class_b": np.array([1.0, -1.0]),
    }
    n, h, w = contract.batch, contract.input_height, contract.input_width
    nodes = [
        helper.make_node("Cast", ["image"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["float"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Sub", ["planes", "mean"], ["centred"]),
        helper.make_node("Conv", ["centred", "stem_w"], ["stem_c"], "stem", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["stem_c"], ["stem_a"]),
        helper.make_node("Conv", ["stem_a", "dw_w"], ["dw_c"], "dw", pads=[1, 1, 1, 1], group=CHANNELS),
        helper.make_node("Relu", ["dw_c"], ["dw_a"]),
        helper.make_node("Conv", ["dw_a", "pw_w"], ["pw_c"], "pw"),
        helper.make_node("Relu", ["pw_c"], ["pw_a"]),
        helper.make_node("Conv", ["pw_a", "mix_w"], ["mix_c"], "mix"),
        helper.make_node("Relu", ["mix_c"], ["mix_a"]),
        helper.make_node("Conv", ["mix_a", "head_w", "head_b"], ["logit"], "head"),
        helper.make_node("Sigmoid", ["logit"], ["prob"]),
        helper.make_node("ReduceMean", ["mix_a"], ["pooled"], axes=[2, 3], keepdims=0),
        helper.make_node("Gemm", ["pooled", "class_w", "class_b"], ["class_logits"]),
        helper.make_node("Softmax", ["class_logits"], ["class_probs"]),
    ]
    graph = helper.make_graph(
        nodes,
        "finder",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, [n, h, w, 3])],
        [
            helper.make_tensor_value_info("prob", TensorProto.FLOAT, [n, 1, h, w]),
            helper.make_tensor_value_info("class_probs", TensorProto.FLOAT, [n, 2]),
        ],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, {METADATA_KEY: contract.to_json()})
    return model


def scenes(count: int = 16) -> list[np.ndarray]:
    """Frames at the network's size, (64, 64, 3) uint8: noise with a bright square in three of four."""
    rng = np.random.default_rng(1)
    frames = []
    for i in range(count):
        x, y, side = rng.integers(2, 34, 3).tolist()
        frame = square_frame(x, y, 0 if i % 4 == 3 else 8 + side // 2, SIZE, SIZE)
        frames.append(np.clip(frame * 0.8 + rng.normal(20, 8, frame.shape), 0, 255).astype(np.uint8))
    return frames


PRESENT = [i % 4 != 3 for i in range(16)]
