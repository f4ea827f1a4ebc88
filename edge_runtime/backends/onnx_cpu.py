"""ONNX Runtime on the CPU: the backend that works everywhere."""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_runtime.contract import CLASS_NAME, INPUT_NAME, MAP_NAME, METADATA_KEY, ModelContract
from edge_runtime.errors import ModelError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edge_runtime.backends.base import LayerTime

MAX_DEFAULT_THREADS = 4  # more threads than this cost a small network more than they bring


class OnnxCpu:
    """A `Backend`; the file's inputs and outputs are checked against its contract when it is opened.

    Args:
        data: the content of a file not written yet, in place of what is at `path`.
        optimize: False computes the graph as written. Fusing around Q/DQ pairs shifts results by
            quantization steps, which TensorRT does not do.
    """

    name = "onnxruntime-cpu"

    def __init__(
        self, path: Path, threads: int | None = None, *, data: bytes | None = None, optimize: bool = True
    ) -> None:
        self.path = path
        self.threads: int | None = threads or default_threads()
        self._open = functools.partial(open_session, path, data, self.threads, optimize)
        self._session = self._open()
        text = self._session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
        self.contract = ModelContract.from_json(text, str(path))
        _check_ports(self._session, self.contract, path)
        self._try_once()

    def infer(self, frames_u8: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """See `Backend.infer`; runs in chunks of the contract's batch, the last one padded."""
        batch = self.contract.batch
        if len(frames_u8) == batch:
            maps, class_probs = self._session.run([MAP_NAME, CLASS_NAME], {INPUT_NAME: frames_u8})
            return maps[:, 0], class_probs
        done = [self._infer_padded(frames_u8[i : i + batch]) for i in range(0, len(frames_u8), batch)]
        return np.concatenate([maps for maps, _ in done]), np.concatenate([probs for _, probs in done])

    def close(self) -> None:
        """Drop the session and its memory."""
        self._session = None

    def layer_times(self, frames_u8: NDArray[np.uint8], runs: int) -> tuple[str, list[LayerTime]]:
        """See `Inspectable.layer_times`; one batch of frames, in a session of its own."""
        import onnxruntime

        from edge_runtime.backends.onnx_layers import time_layers

        feed = {INPUT_NAME: frames_u8[: self.contract.batch]}
        times = time_layers(self._open, [MAP_NAME, CLASS_NAME], feed, runs)
        return f"onnxruntime {onnxruntime.__version__}", times

    def parts_ns(self, frames_u8: NDArray[np.uint8]) -> dict[str, int]:
        """See `Inspectable.parts_ns`: nothing is copied to a device here."""
        return {}

    def _infer_padded(self, frames_u8: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        missing = self.contract.batch - len(frames_u8)
        padded = np.concatenate([frames_u8, np.repeat(frames_u8[-1:], missing, axis=0)])
        maps, class_probs = self.infer(padded)
        return maps[: len(frames_u8)], class_probs[: len(frames_u8)]

    def _try_once(self) -> None:
        """The first inference allocates and can fail; better before a camera is opened than in flight."""
        contract = self.contract
        size = (contract.input_height, contract.input_width)
        try:
            maps, class_probs = self.infer(np.zeros((contract.batch, *size, 3), np.uint8))
        except Exception as error:  # onnxruntime raises its own classes, which share no base
            raise ModelError(f"{self.path}: the model does not run: {_first_line(error)}") from error
        shapes = (maps.shape, class_probs.shape)
        expected = ((contract.batch, *size), (contract.batch, len(contract.classes)))
        if shapes != expected:
            raise ModelError(
                f"{self.path}: outputs of shape {shapes}, expected {expected}; export the run again"
            )


def default_threads() -> int:
    """Physical cores this process may use, at most `MAX_DEFAULT_THREADS`."""
    usable = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))
    cores = set()
    for cpu in usable:
        siblings = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
        cores.add(siblings.read_text() if siblings.is_file() else str(cpu))
    return max(1, min(len(cores), MAX_DEFAULT_THREADS))


def open_session(
    path: Path, data: bytes | None, threads: int, optimize: bool, profile: str | None = None
) -> Any:
    """An `onnxruntime.InferenceSession` of the file, or of `data`; ModelError where it is no model.

    `profile`: how the name of the file begins to which it shall write the times of all layers.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    if profile is not None:
        options.enable_profiling, options.profile_file_prefix = True, profile
    if not optimize:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # what goes wrong comes as an exception; keep stderr for our one line
    # Waiting threads must sleep: spinning would take the cores from decoding and from the sinks.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(data or str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises its own classes, which share no base
        raise ModelError(
            f"{path}: cannot open as a model (damaged, truncated or not ONNX): {_first_line(error)}"
        ) from error


def _first_line(error: Exception) -> str:
    """What onnxruntime says, without its `[ONNXRuntimeError] : 7 : INVALID_PROTOBUF : ` in front."""
    line = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    return line.rpartition(" : ")[2]


def _check_ports(session: Any, contract: ModelContract, path: Path) -> None:
    height, width, count = contract.input_height, contract.input_width, len(contract.classes)
    _check_port(path, "input", session.get_inputs(), INPUT_NAME, "tensor(uint8)", (height, width, 3))
    _check_port(path, "output", session.get_outputs(), MAP_NAME, "tensor(float)", (1, height, width))
    _check_port(path, "output", session.get_outputs(), CLASS_NAME, "tensor(float)", (count,))
    if len(session.get_inputs()) != 1:
        names = [port.name for port in session.get_inputs()]
        raise ModelError(f"{path}: inputs {names}, expected only {INPUT_NAME!r}; export the run again")


def _check_port(
    path: Path, kind: str, ports: list[Any], name: str, dtype: str, shape: tuple[int, ...]
) -> None:
    """Name, element type and every dimension but the batch; a symbolic dimension counts as fitting."""
    port = next((port for port in ports if port.name == name), None)
    if port is None:
        names = [port.name for port in ports]
        raise ModelError(f"{path}: {kind}s {names}, expected one named {name!r}; export the run again")
    found = tuple(port.shape[1:])
    fits = len(found) == len(shape) and all(a == b for a, b in zip(found, shape) if isinstance(a, int))
    if port.type != dtype or not fits:
        raise ModelError(
            f"{path}: {kind} {name!r} is {port.type} {list(port.shape)}, "
            f"expected {dtype} {['N', *shape]}; export the run again"
        )
