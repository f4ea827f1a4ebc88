"""The work of small graphs counted by hand, and of networks whose work is published."""

from __future__ import annotations

import dataclasses
import io
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edge_runtime.engines.plan import EngineOptions
from edge_runtime.engines.trt import find_tensorrt, log_of
from edge_runtime.errors import ModelError
from edge_runtime.modelfile import find_model
from edge_runtime.onnxfile import read_contract
from edge_runtime.profiling.estimate.graph import read_graph
from edge_runtime.profiling.estimate.layers import network_of
from export import engine
from export.onnx_passes import clean
from tests.calibration.graphs import conv, graph, node, weight
from tests.export.layer_table import parse_layers
from tests.export.variants import variants

if TYPE_CHECKING:
    from edge_runtime.profiling.estimate.layers import Network

X = 4 * 8 * 8  # values of the input "x" of a hand-made graph, (1, 4, 8, 8)


@pytest.fixture
def counted(tmp_path):
    """Saves a model and counts its work."""

    def count(model: onnx.ModelProto) -> Network:
        path = tmp_path / "counted.onnx"
        onnx.save(model, str(path))
        return network_of(read_graph(path))

    return count


@pytest.mark.parametrize(
    ("made", "constants", "flops", "weights"),
    [
        pytest.param(conv("x", "y"), {"w": weight(6)}, 2 * 6 * 64 * 4 * 9, 6 * 4 * 9, id="convolution"),
        pytest.param(
            node("Conv", "x w", "y", strides=[2, 2], pads=[1, 1, 1, 1]),
            {"w": weight(6)},
            2 * 6 * 16 * 4 * 9,
            6 * 4 * 9,
            id="stride",
        ),
        pytest.param(
            node("Conv", "x w b", "y", group=4, pads=[1, 1, 1, 1]),
            {"w": weight(4, 1), "b": np.zeros(4, np.float32)},
            2 * 4 * 64 * 9,
            4 * 9 + 4,
            id="depth-wise, with bias",
        ),
        pytest.param(
            node("ConvTranspose", "x w", "y", strides=[2, 2]),
            {"w": weight(4, 6, 2)},
            2 * X * 6 * 4,
            4 * 6 * 4,
            id="transposed convolution",
        ),
        pytest.param(
            node("MatMul", "x w", "y"),
            {"w": np.ones((8, 5), np.float32)},
            2 * 4 * 8 * 5 * 8,
            40,
            id="matrix product",
        ),
        pytest.param(node("Relu", "x", "y"), {}, 0, 0, id="no product"),
    ],
)
def test_a_layer_has_the_work_one_counts_by_hand(counted, made, constants, flops, weights):
    network = counted(graph([made], constants, outputs=["y"]))
    assert (network.flops, network.weights) == (flops, weights)
    assert [layer.op for layer in network.layers] == [made.op_type]
    assert network.layers[0].reads == X


@pytest.mark.parametrize("transposed", [0, 1])
def test_a_fully_connected_layer_is_counted_either_way_round(counted, transposed):
    nodes = [
        node("Flatten", "x", "flat"),
        node("Gemm", "flat w b", "y", transB=transposed),
    ]
    shape = (10, X) if transposed else (X, 10)
    constants = {"w": np.ones(shape, np.float32), "b": np.ones(10, np.float32)}
    network = counted(graph(nodes, constants, outputs=["y"]))
    assert (network.flops, network.weights) == (2 * X * 10, X * 10 + 10)
    assert [(layer.op, layer.reads, layer.writes) for layer in network.layers] == [("Gemm", X, 10)]


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        pytest.param(
            [conv("x", "a"), node("Relu", "a", "y")], [("Conv", X, X)], id="an activation comes for nothing"
        ),
        pytest.param(
            [conv("x", "a"), node("Sigmoid", "a", "s"), node("Mul", "a s", "y")],
            [("Conv", X, X)],
            id="SiLU is an activation, too",
        ),
        pytest.param(
            [conv("x", "a"), conv("a", "b"), node("Add", "b a", "c"), node("Relu", "c", "y")],
            [("Conv", X, X), ("Conv", X, X)],
            id="what a layer reads twice is read once",
        ),
        pytest.param(
            [conv("x", "a"), conv("a", "b"), node("Add", "b x", "y")],
            [("Conv", X, X), ("Conv", 2 * X, X)],
            id="an addition is fused and reads the other branch",
        ),
        pytest.param(
            [conv("x", "a"), conv("x", "b"), node("Concat", "a b", "c", axis=1), node("Relu", "c", "y")],
            [("Conv", X, X), ("Conv", X, X), ("Relu", 2 * X, 2 * X)],
            id="concatenated parts are written in place",
        ),
        pytest.param(
            [
                conv("x", "a"),
                node("GlobalAveragePool", "a", "p"),
                node("Sigmoid", "p", "s"),
                node("Mul", "a s", "y"),
            ],
            [("Conv", X, X), ("GlobalAveragePool", X, 4), ("Mul", X + 4, X)],
            id="a product with what is smaller is not fused into it",
        ),
        pytest.param(
            [conv("x", "a"), node("Reshape", "a shape", "r"), node("Softmax", "r", "y", axis=-1)],
            [("Conv", X, X), ("Softmax", X, X)],
            id="a reshape is a view",
        ),
    ],
)
def test_nodes_are_fused_as_tensorrt_does_and_only_the_rest_is_moved(counted, nodes, expected):
    constants = {"w": weight(), "shape": np.array([1, 4, 64])}
    network = counted(graph(nodes, constants, outputs=["y"]))
    assert [(layer.op, layer.reads, layer.writes) for layer in network.layers] == expected


def test_memory_between_layers_is_what_lives_at_one_time(counted):
    chain = [conv("x", "a"), conv("a", "b"), conv("b", "y")]
    skip = [*chain[:2], node("Concat", "b a", "c", axis=1), node("Conv", "c v", "y")]
    constants = {"w": weight(), "v": weight(4, 8, 1)}
    assert counted(graph(chain, constants, outputs=["y"])).peak_values == 2 * X
    assert counted(graph(skip, constants, outputs=["y"])).peak_values == 3 * X


def test_every_precision_of_a_file_has_the_same_work(counted):
    files = {name: made for name, (made, *_) in variants(onnx.load(find_model("demo"))).items()}
    found = {name: counted(model) for name, model in files.items()}
    fp32 = found.pop("fp32")
    assert len(fp32.layers) == 50
    assert not fp32.quantized
    for name, network in found.items():
        assert network.flops == fp32.flops, name
        assert network.peak_values == fp32.peak_values, name
        assert [layer.op for layer in network.layers] == [layer.op for layer in fp32.layers], name
        assert network.quantized == name.startswith("int8"), name
        assert network.weights == pytest.approx(fp32.weights, rel=0.05), name
        moved = sum(layer.reads + layer.writes for layer in network.layers)
        assert moved == sum(layer.reads + layer.writes for layer in fp32.layers), name


@pytest.mark.parametrize(
    ("name", "gmacs", "mparams"),
    [
        pytest.param("resnet18", 1.82, 11.7, marks=pytest.mark.slow),
        ("mobilenetv2_100", 0.300, 3.5),
        ("tf_efficientnet_lite0", None, 4.65),
    ],
)
def test_networks_have_the_work_that_is_published_of_them_and_that_torch_counts(
    tmp_path, name, gmacs, mparams
):
    """GMACs at 224 x 224: table 4 of the paper of MobileNetV2; of ResNet-18 as torchvision publishes it."""
    torch = pytest.importorskip("torch")
    timm = pytest.importorskip("timm")
    net = timm.create_model(name, pretrained=False, exportable=True).eval()
    buffer = io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(net, (torch.zeros(1, 3, 224, 224),), buffer, opset_version=17, dynamo=False)
    onnx.save(clean(onnx.load_from_string(buffer.getvalue())), str(tmp_path / "net.onnx"))
    network = network_of(read_graph(tmp_path / "net.onnx"))
    assert network.flops == 2 * _macs_in_torch(net)
    assert gmacs is None or network.flops / 2e9 == pytest.approx(gmacs, rel=0.01)
    assert network.weights / 1e6 == pytest.approx(mparams, rel=0.02)


def _macs_in_torch(net: Any) -> int:
    """Multiplications of convolutions and fully connected layers, counted while the network runs."""
    import torch

    counted = []

    def count(layer: Any, _: Any, made: Any) -> None:
        counted.append(made.numel() * layer.weight[0].numel())

    for module in net.modules():
        if isinstance(module, (torch.nn.Conv2d, torch.nn.Linear)):
            module.register_forward_hook(count)
    with torch.no_grad():
        net(torch.zeros(1, 3, 224, 224))
    return sum(counted)


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_as_many_layers_are_counted_as_tensorrt_builds_kernels(precision):
    """By TensorRT-RTX, which needs no GPU to build; its int8 kernels are not those of a Jetson."""
    pytest.importorskip("tensorrt_rtx", reason="no tensorrt_rtx wheel for this platform")
    trt = find_tensorrt(["tensorrt_rtx"])
    path = find_model("demo")
    made, name, target = variants(onnx.load(path))[precision]
    contract = dataclasses.replace(read_contract(path), precision=name, target=target)
    with log_of(trt.module).collecting(verbose=True) as lines:
        engine.build(made.SerializeToString(), contract, trt, EngineOptions(detailed=True))
    layers = network_of(read_graph(path)).layers
    assert len(layers) == pytest.approx(len(parse_layers(lines)), rel=0.1)


def test_a_file_of_no_fixed_size_is_refused_with_the_tensor(tmp_path):
    made = graph([node("Relu", "x", "y")], {}, outputs=["y"])
    made.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "N"
    made.graph.output[0].type.tensor_type.shape.dim[0].dim_param = "N"
    onnx.save(made, str(tmp_path / "any.onnx"))
    with pytest.raises(ModelError, match=r"'x' has the shape \['N', 4, 8, 8\], expected numbers only"):
        read_graph(tmp_path / "any.onnx")


@pytest.mark.parametrize("kept", [0.4, 0.999])
def test_a_truncated_file_is_refused(tmp_path, kept):
    data = find_model("demo").read_bytes()
    path = tmp_path / "cut.onnx"
    path.write_bytes(data[: int(len(data) * kept)])
    with pytest.raises(ModelError, match=r"cut\.onnx: cannot open as a model"):
        read_graph(path)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(ModelError, match=r"none\.onnx: cannot be read: No such file"):
        read_graph(tmp_path / "none.onnx")


def test_dimensions_packed_into_one_field_are_read_as_well(counted, tmp_path):
    """proto3 writers pack repeated numbers, proto2 writers do not."""
    made = graph([conv("x", "y")], {"w": weight(6)}, outputs=["y"])
    plain = made.SerializeToString()
    one_by_one = b"".join(bytes([1 << 3, side]) for side in (6, 4, 3, 3))
    packed = bytes([1 << 3 | 2, 4, 6, 4, 3, 3])
    tensor = made.graph.initializer[0].SerializeToString()
    assert one_by_one in tensor or packed in tensor
    other = (
        tensor.replace(one_by_one, packed, 1)
        if one_by_one in tensor
        else tensor.replace(packed, one_by_one, 1)
    )
    field = helper.make_tensor("w", TensorProto.FLOAT, [1], [0.0])
    field.ParseFromString(other)
    assert list(field.dims) == [6, 4, 3, 3]
    assert plain.count(tensor) == 1
    path = tmp_path / "packed.onnx"
    path.write_bytes(_spliced(made, other))
    assert network_of(read_graph(path)) == counted(made)


def _spliced(made: onnx.ModelProto, tensor: bytes) -> bytes:
    """The model with its only initializer written as `tensor`, as a second graph message to be merged."""
    from edge_runtime.protobuf import bytes_field

    rest = onnx.ModelProto()
    rest.CopyFrom(made)
    del rest.graph.initializer[:]
    return rest.SerializeToString() + bytes_field(7, bytes_field(5, tensor))
