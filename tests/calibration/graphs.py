"""Small graphs made by hand, and what ONNX Runtime says to a graph."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from onnx import ModelProto, NodeProto


def graph(
    nodes: Sequence[NodeProto],
    constants: Mapping[str, NDArray[Any]],
    *,
    outputs: Sequence[str],
    shape: Sequence[int] = (1, 4, 8, 8),
    opset: int = 17,
) -> ModelProto:
    """A model with the float input "x" whose outputs have whatever shape and type the nodes give them."""
    domains = sorted({made.domain for made in nodes} - {""})
    made = helper.make_graph(
        nodes,
        "hand-made",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [],
        [numpy_helper.from_array(values, name) for name, values in constants.items()],
    )
    model = helper.make_model(
        made,
        opset_imports=[helper.make_opsetid("", opset), *(helper.make_opsetid(d, 1) for d in domains)],
        ir_version=8,
    )
    for name in outputs:
        model.graph.output.add().name = name
    inferred = onnx.shape_inference.infer_shapes(model)
    del inferred.graph.value_info[:]
    return inferred


def node(op: str, inputs: str, output: str, **attributes: Any) -> NodeProto:
    """A node named after its output; `inputs` separated by blanks."""
    return helper.make_node(op, inputs.split(" "), [output], name=output, **attributes)


def conv(read: str, output: str, weight: str = "w") -> NodeProto:
    """A 3 x 3 convolution with the weight `weight`, size kept."""
    return node("Conv", f"{read} {weight}", output, pads=[1, 1, 1, 1])


def weight(outputs: int = 4, inputs: int = 4, side: int = 3, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(0, 0.2, (outputs, inputs, side, side)).astype(np.float32)


def session(model: ModelProto, *, optimized: bool = False, threads: int = 1, save: Path | None = None) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 4
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    levels = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = levels.ORT_ENABLE_ALL if optimized else levels.ORT_DISABLE_ALL
    if save is not None:
        options.optimized_model_filepath = str(save)
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def maps(
    model: ModelProto, seen: Sequence[NDArray[np.uint8]], *, optimized: bool = False
) -> NDArray[np.float32]:
    """(N, H, W) probability of each frame."""
    runs = session(model, optimized=optimized)
    return np.concatenate([runs.run(["prob"], {"image": frame})[0][:, 0] for frame in seen])


def makers(model: ModelProto) -> dict[str, NodeProto]:
    """Which node makes a tensor."""
    return {name: made for made in model.graph.node for name in made.output}


def constant(model: ModelProto, name: str) -> NDArray[Any]:
    return numpy_helper.to_array(next(t for t in model.graph.initializer if t.name == name))


def metadata(model: ModelProto) -> dict[str, str]:
    return {entry.key: entry.value for entry in model.metadata_props}
