"""pycuda and libcuda as our code calls them: in the right order, with names that really exist."""

from __future__ import annotations

import ast
import ctypes
import inspect
import re
import sys
from types import SimpleNamespace
from typing import Any, List

import numpy as np
import pytest

from edge_runtime import nvidia
from edge_runtime.backends import cuda, cudagraph
from edge_runtime.backends.cuda import PycudaGpu, load_pycuda
from edge_runtime.backends.cudagraph import SYMBOLS, CudaCallError, Driver
from edge_runtime.errors import EngineError, MissingExtra
from tests.edge_runtime.fake_gpu import CARD, ORIN

# What our code calls on objects pycuda makes, beside the names of its module found in our source.
PYCUDA_METHODS = {
    "Device": ("retain_primary_context",),
    "Context": ("push", "pop", "detach"),
    "Stream": ("handle", "synchronize"),
    "PagelockedHostAllocation": ("free", "get_device_pointer"),
    "DeviceAllocation": ("free", "__int__"),
}


class Calls(List[str]):
    """Names of calls; `fails` maps one to the error it raises or the number it answers."""

    def __init__(self) -> None:
        super().__init__()
        self.fails: dict[str, Any] = {}

    def __call__(self, name: str) -> int:
        self.append(name)
        answer = self.fails.get(name, 0)
        if isinstance(answer, Exception):
            raise answer
        return int(answer)


class Allocation:
    def __init__(self, calls: Calls, kind: str, address: int) -> None:
        self._calls, self._kind, self._address = calls, kind, address

    def get_device_pointer(self) -> int:
        return self._address

    def __int__(self) -> int:
        return self._address

    def free(self) -> None:
        self._calls(f"free {self._kind}")


def fake_pycuda(calls: Calls) -> Any:
    """`pycuda.driver` as far as we use it, its arguments written into the calls."""

    def pagelocked_empty(shape: tuple[int, ...], dtype: Any, mem_flags: str = "0") -> Any:
        calls(f"host {list(shape)} {np.dtype(dtype).name} {mem_flags}")
        return SimpleNamespace(base=Allocation(calls, "host", 64), nbytes=int(np.prod(shape)))

    def mem_alloc(size: int) -> Allocation:
        calls(f"device {size}")
        return Allocation(calls, "device", 128)

    context = SimpleNamespace(push=lambda: calls("push"), detach=lambda: calls("detach"))
    return SimpleNamespace(
        Error=ZeroDivisionError,  # any class of its own
        init=lambda: calls("init"),
        Device=lambda number: SimpleNamespace(retain_primary_context=lambda: calls("retain") or context),
        Context=SimpleNamespace(pop=lambda: calls("pop")),
        Stream=lambda flags: calls(f"stream {flags}") or SimpleNamespace(handle=9),
        host_alloc_flags=SimpleNamespace(DEVICEMAP="mapped"),
        pagelocked_empty=pagelocked_empty,
        mem_alloc=mem_alloc,
        memcpy_htod_async=lambda to, of, stream: calls(f"htod {int(to)} by {stream.handle}"),
        memcpy_dtoh_async=lambda to, of, stream: calls(f"dtoh {int(of)} by {stream.handle}"),
        mem_get_info=lambda: calls("info") or (5, 10),
    )


def fake_libcuda(calls: Calls, graph: int = 11, executable: int = 12) -> Any:
    """A library whose functions record their name and answer what `calls.fails` says."""

    def function(name: str) -> Any:
        def call(*arguments: Any) -> int:
            out = {"cuStreamEndCapture": (1, graph), "cuGraphInstantiateWithFlags": (0, executable)}.get(name)
            code = calls(name)
            if out is not None and code == 0:
                arguments[out[0]]._obj.value = out[1]
            return code

        return call

    return SimpleNamespace(**{name: function(name) for name in SYMBOLS})


def make_gpu(calls: Calls, info: nvidia.GpuInfo = ORIN) -> PycudaGpu:
    return PycudaGpu(fake_pycuda(calls), Driver(fake_libcuda(calls)), info)


def test_the_context_is_current_only_inside_also_after_an_error():
    calls = Calls()
    gpu = make_gpu(calls)
    with pytest.raises(KeyError), gpu.current():
        calls("inside")
        raise KeyError
    assert calls == ["init", "retain", "push", "inside", "pop"]


def test_closing_releases_the_context_and_takes_it_off_the_threads_stack():
    calls = Calls()
    gpu = make_gpu(calls)
    calls.clear()
    gpu.close()
    assert calls == ["push", "detach", "cuCtxPopCurrent_v2"]


def test_no_room_for_a_context_is_one_line():
    calls = Calls()
    calls.fails["retain"] = ZeroDivisionError("cuDevicePrimaryCtxRetain failed: out of memory")
    with pytest.raises(
        EngineError, match=r"Orin: no CUDA context: cuDevice.* out of memory; is its memory full"
    ):
        make_gpu(calls)


def test_an_integrated_gpu_gets_mapped_memory_and_no_copies():
    calls = Calls()
    gpu = make_gpu(calls, ORIN)
    buffer = gpu.allocate((1, 4), np.uint8, gpu.open_stream())
    calls.clear()
    buffer.to_device()
    buffer.to_host()
    assert buffer.address == 64
    buffer.close()
    assert calls == ["free host"]
    assert not hasattr(buffer, "host")


def test_a_card_gets_memory_of_its_own_and_copies_on_the_stream():
    calls = Calls()
    gpu = make_gpu(calls, CARD)
    buffer = gpu.allocate((1, 4), np.uint8, gpu.open_stream())
    assert calls[2:] == ["stream 1", "host [1, 4] uint8 0", "device 4"]
    calls.clear()
    buffer.to_device()
    buffer.to_host()
    assert buffer.address == 128
    buffer.close()
    assert calls == ["htod 128 by 9", "dtoh 128 by 9", "free device", "free host"]


@pytest.mark.parametrize(("info", "source"), [(CARD, "info"), (ORIN, None)], ids=["card", "integrated"])
def test_free_memory_is_the_cards_or_what_the_kernel_could_hand_out(info, source, monkeypatch):
    monkeypatch.setattr(cuda, "read_available_bytes", lambda: 77)
    calls = Calls()
    gpu = make_gpu(calls, info)
    assert gpu.free_bytes() == (5 if source else 77)
    assert calls[2:] == ([source] if source else [])


def test_a_graph_is_captured_instantiated_launched_and_destroyed():
    calls = Calls()
    stream = make_gpu(calls).open_stream()
    calls.clear()
    graph = stream.capture(lambda: calls("work"))
    graph.launch()
    graph.close()
    assert calls == [
        "cuStreamBeginCapture_v2",
        "work",
        "cuStreamEndCapture",
        "cuGraphInstantiateWithFlags",
        "cuGraphDestroy",
        "cuGraphLaunch",
        "cuGraphExecDestroy",
    ]


@pytest.mark.parametrize(
    ("fails", "answer", "raised", "calls_made"),
    [
        pytest.param("cuStreamBeginCapture_v2", 900, CudaCallError, [], id="begin"),
        pytest.param(
            "work", KeyError("x"), KeyError, ["work", "cuStreamEndCapture", "cuGraphDestroy"], id="work"
        ),
        pytest.param("cuStreamEndCapture", 901, CudaCallError, ["work", "cuStreamEndCapture"], id="end"),
        pytest.param(
            "cuGraphInstantiateWithFlags",
            801,
            CudaCallError,
            ["work", "cuStreamEndCapture", "cuGraphInstantiateWithFlags", "cuGraphDestroy"],
            id="instantiate",
        ),
    ],
)
def test_a_capture_that_fails_ends_it_and_leaves_no_graph(fails, answer, raised, calls_made):
    calls = Calls()
    stream = make_gpu(calls).open_stream()
    calls.clear()
    calls.fails[fails] = answer
    with pytest.raises(raised, match=r"x" if raised is KeyError else rf"{fails} answers CUDA error {answer}"):
        stream.capture(lambda: calls("work"))
    assert calls == ["cuStreamBeginCapture_v2", *calls_made]


def test_work_that_fails_hides_no_error_behind_that_of_ending_the_capture():
    calls = Calls()
    calls.fails.update(work=KeyError("x"), cuStreamEndCapture=901)
    with pytest.raises(KeyError):
        make_gpu(calls).open_stream().capture(lambda: calls("work"))
    assert calls[-2:] == ["work", "cuStreamEndCapture"]


def test_a_driver_without_graphs_is_an_error_of_the_gpu():
    gpu = PycudaGpu(fake_pycuda(Calls()), Driver(SimpleNamespace()), ORIN)
    with pytest.raises(gpu.errors, match="this NVIDIA driver has no cuStreamBeginCapture_v2"):
        gpu.open_stream().capture(lambda: None)


@pytest.mark.parametrize(
    ("error", "raised", "message"),
    [
        pytest.param(
            ModuleNotFoundError("No module named 'pycuda'", name="pycuda"),
            MissingExtra,
            r"pip install 'dips-edge\[jetson\]'",
            id="not installed",
        ),
        pytest.param(
            ModuleNotFoundError("No module named 'pytools'", name="pytools"),
            EngineError,
            "pycuda does not load: No module named 'pytools'",
            id="its own packages are missing",
        ),
        pytest.param(
            ImportError("libcuda.so.1: cannot open shared object file\nmore"),
            EngineError,
            "pycuda does not load: libcuda.so.1: cannot open shared object file; build it again",
            id="its libraries do not load",
        ),
    ],
)
def test_pycuda_that_cannot_be_imported_is_one_line(error, raised, message, monkeypatch):
    def refuse(name: str, *arguments: Any) -> Any:
        raise error

    monkeypatch.setattr(cuda.importlib, "import_module", refuse)
    with pytest.raises(raised, match=message) as caught:
        load_pycuda()
    assert "\n" not in str(caught.value)


def names_used_of_pycuda() -> set[str]:
    """Dotted names our source takes from the module: `cuda.X.Y` and `self._cuda.X.Y`."""
    used = set()
    source = inspect.getsource(cuda)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute):
            match = re.fullmatch(r"(?:self\._)?cuda\.([\w.]+)", ast.get_source_segment(source, node) or "")
            if match:
                used.add(match[1])
    return used


def test_our_source_uses_what_the_fake_has_of_pycuda():
    fake = fake_pycuda(Calls())
    used = names_used_of_pycuda()
    assert {"Stream", "host_alloc_flags.DEVICEMAP", "Context.pop", "mem_alloc"} <= used
    for name in used:
        found = fake
        for part in name.split("."):
            found = getattr(found, part)


def test_every_name_we_use_of_pycuda_exists_in_it():
    driver = pytest.importorskip("pycuda.driver", reason="pycuda is not installed", exc_type=ImportError)
    for name in sorted(names_used_of_pycuda()):
        found = driver
        for part in name.split("."):
            assert hasattr(found, part), f"pycuda.driver.{name}"
            found = getattr(found, part)
    for kind, methods in PYCUDA_METHODS.items():
        for method in methods:
            assert hasattr(getattr(driver, kind), method), f"{kind}.{method}"


def test_every_function_we_call_of_the_driver_exists_in_it():
    driver = nvidia.open_driver()
    if driver is None:
        pytest.skip("no NVIDIA driver (libcuda.so.1) on this machine")
    called = set(re.findall(r"\"(cu[A-Z]\w+)\"", inspect.getsource(nvidia) + inspect.getsource(cudagraph)))
    assert set(SYMBOLS) <= called
    assert "cuDeviceTotalMem_v2" in called
    assert [name for name in sorted(called) if not hasattr(driver, name)] == []


class FakeDriver:
    """libcuda with one GPU; `fails` maps a function to the error number it answers."""

    def __init__(self, gpus: int = 1, **fails: int) -> None:
        self._gpus, self._fails = gpus, fails

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments: self._fails.get(name) or self._answer(name, *arguments)

    def _answer(self, name: str, *arguments: Any) -> int:
        if name == "cuDeviceGetName":
            arguments[0].value = b"Orin"
        elif name == "cuDeviceGetAttribute":
            arguments[0]._obj.value = {18: 1, 75: 8, 76: 7}[arguments[1]]
        elif name != "cuInit":
            values = {
                "cuDriverGetVersion": 12060,
                "cuDeviceGetCount": self._gpus,
                "cuDeviceTotalMem_v2": 8 << 30,
            }
            arguments[0]._obj.value = values.get(name, 0)
        return 0


def test_the_driver_is_asked_for_each_gpu():
    assert nvidia.read_gpus(FakeDriver(2)) == [ORIN, ORIN]


@pytest.mark.parametrize(
    ("driver", "message"),
    [
        pytest.param(FakeDriver(0), "sees no GPU", id="hidden"),
        pytest.param(
            FakeDriver(cuInit=803), r"cuInit answers CUDA error 803 \(driver and library", id="updated"
        ),
        pytest.param(FakeDriver(cuDeviceGetName=7), "cuDeviceGetName answers CUDA error 7$", id="unknown"),
    ],
)
def test_a_driver_that_does_not_work_is_one_line(driver, message):
    with pytest.raises(EngineError, match=message):
        nvidia.read_gpus(driver)


def test_a_machine_without_the_library_has_no_driver():
    assert nvidia.open_driver("libnothing-of-that-name.so.1") is None
    if sys.platform == "linux":
        assert isinstance(nvidia.open_driver("libc.so.6"), ctypes.CDLL)
