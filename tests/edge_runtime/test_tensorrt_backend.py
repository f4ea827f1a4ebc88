"""The TensorRT backend against a recorder (`fake_gpu.py`): order of calls, sizes, error paths. No GPU."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_runtime.backends.tensorrt import TensorRtBackend
from edge_runtime.errors import EngineError
from tests.edge_runtime import fake_gpu
from tests.edge_runtime.conftest import SIZE, square_frame, with_contract
from tests.edge_runtime.fake_gpu import CARD, ORIN, PLAN, DataType, FakeCudaError, FakeGpu, Recorder, ports

PATH = Path("square-fp16.onnx")
TEARDOWN = [
    "close graph",
    "close execution context",
    "close engine",
    "close runtime",
    "close buffer",
    "close buffer",
    "close buffer",
    "close stream",
    "close gpu",
]


def open_one(
    recorder: Recorder, info: Any = ORIN, *, batch: int = 1, engine: Any = None, plans: Any = (PLAN,)
) -> TensorRtBackend:
    """A backend over the recorder; `plans`: what the engine cache gives, one after the other."""
    given = iter(plans)

    def plan(distrust: str | None) -> bytes:
        recorder.note(f"plan, distrust: {distrust}")
        return next(given)

    trt = fake_gpu.fake_tensorrt(recorder, engine or ports(batch))
    return TensorRtBackend(PATH, with_contract(batch=batch), trt, FakeGpu(recorder, info), plan)


def frames(count: int) -> np.ndarray:
    return np.stack([square_frame(x=i, y=0, side=8, width=SIZE, height=SIZE) for i in range(count)])


def of_closing(calls: list[str]) -> list[str]:
    return [call for call in calls if call.startswith("close")]


@pytest.mark.parametrize("info", [ORIN, CARD], ids=["integrated", "discrete"])
@pytest.mark.parametrize("count", [1, 2, 3, 5])
@pytest.mark.parametrize("batch", [1, 2])
def test_maps_and_class_probabilities_are_those_of_the_frames(info, batch, count):
    backend = open_one(Recorder(), info, batch=batch)
    images = frames(count)
    maps, class_probs = backend.infer(images)
    assert (maps.dtype, class_probs.dtype) == (np.float32, np.float32)
    np.testing.assert_allclose(maps, images.mean(axis=3) / 255, atol=1e-6)
    np.testing.assert_allclose(class_probs, np.tile([0.0, 1.0], (count, 1)), atol=1e-6)
    assert (backend.name, backend.path) == ("tensorrt-10.3.0", PATH)
    backend.close()


def test_results_stay_as_they_were_after_the_next_inference_and_after_closing():
    backend = open_one(Recorder())
    first, second = frames(2)
    maps, class_probs = backend.infer(first[None])
    kept = maps.copy(), class_probs.copy()
    backend.infer(second[None])
    backend.close()
    np.testing.assert_array_equal(maps, kept[0])
    np.testing.assert_array_equal(class_probs, kept[1])


@pytest.mark.parametrize(
    ("info", "each_frame"),
    [
        pytest.param(ORIN, ["launch", "synchronize"], id="integrated"),
        pytest.param(CARD, ["launch", "synchronize"], id="discrete: the copies are in the graph"),
    ],
)
def test_a_captured_graph_is_one_call_per_frame(info, each_frame):
    recorder = Recorder()
    backend = open_one(recorder, info)
    backend.infer(frames(1))
    assert recorder.since("push") == each_frame


@pytest.mark.parametrize(
    ("info", "each_frame"),
    [
        pytest.param(ORIN, ["execute", "synchronize"], id="integrated: no copies"),
        pytest.param(CARD, ["to device", "execute", "to host", "to host", "synchronize"], id="discrete"),
    ],
)
@pytest.mark.parametrize("why", ["capture", "refuses"])
def test_where_no_graph_can_be_captured_each_frame_is_enqueued_without_a_word(info, each_frame, why, caplog):
    recorder = Recorder()
    recorder.fails[why] = FakeCudaError()
    backend = open_one(recorder, info)
    images = frames(1)
    maps, _ = backend.infer(images)
    np.testing.assert_allclose(maps, images.mean(axis=3) / 255, atol=1e-6)
    assert recorder.since("push") == each_frame
    assert [record for record in caplog.records if record.levelname != "DEBUG"] == []
    backend.close()
    assert of_closing(recorder.calls) == TEARDOWN[1:]


def test_a_graph_that_gives_something_else_is_not_used(monkeypatch):
    monkeypatch.setattr(fake_gpu.FakeGraph, "launch", lambda self: None)  # as one that captured nothing
    recorder = Recorder()
    backend = open_one(recorder)
    backend.infer(frames(1))
    assert recorder.since("push") == ["execute", "synchronize"]
    backend.close()
    assert of_closing(recorder.calls) == TEARDOWN


def test_memory_is_what_the_contract_says_and_is_taken_before_the_engine():
    recorder = Recorder()
    open_one(recorder, batch=2)
    assert recorder.calls[:8] == [
        "push",
        "open stream",
        "allocate uint8 [2, 64, 64, 3]",
        "allocate float32 [2, 1, 64, 64]",
        "allocate float32 [2, 2]",
        "runtime",
        "plan, distrust: None",
        "deserialize a plan",
    ]


def test_everything_is_closed_once_and_in_the_opposite_order():
    recorder = Recorder()
    backend = open_one(recorder)
    backend.close()
    assert of_closing(recorder.calls) == TEARDOWN
    before = len(recorder.calls)
    backend.close()
    assert recorder.calls[before:] == []
    assert recorder.memory == {}


ILLEGAL = FakeCudaError("cuSomething failed:\n  an illegal address")


@pytest.mark.parametrize(
    ("fails", "message", "closed"),
    [
        pytest.param("open stream", "cuSomething", ["close gpu"], id="at the stream"),
        pytest.param(
            "allocate float32 [1, 2]", "cuSomething", [*TEARDOWN[4:6], *TEARDOWN[7:]], id="at a buffer"
        ),
        pytest.param("runtime", "cuSomething", TEARDOWN[4:], id="at the runtime"),
        pytest.param("plan, distrust: None", "cuSomething", TEARDOWN[3:], id="at the engine cache"),
        pytest.param(
            "no room", "no execution context; TensorRT says: out of mem", TEARDOWN[2:], id="at the context"
        ),
        pytest.param("refuses", "TensorRT says: this layer cannot run", TEARDOWN[1:], id="at the first run"),
        pytest.param("not finite", "values that are not finite", TEARDOWN[1:], id="at its first result"),
        pytest.param("launch", "cuSomething", TEARDOWN, id="at the first launch of the graph"),
    ],
)
def test_opening_that_fails_closes_what_was_open_and_says_why_in_one_line(fails, message, closed):
    recorder = Recorder()
    recorder.fails[fails] = ILLEGAL
    with pytest.raises(EngineError, match=rf"^square-fp16.onnx: .*{message}") as caught:
        open_one(recorder)
    assert "\n" not in str(caught.value)
    assert of_closing(recorder.calls) == closed
    assert recorder.memory == {}


@pytest.mark.parametrize(
    ("engine", "message"),
    [
        pytest.param(ports(side=32), r"image UINT8 \[1, 32, 32, 3\]", id="size"),
        pytest.param(ports(batch=4), r"prob FLOAT \[4, 1, 64, 64\]", id="batch"),
        pytest.param(ports(classes=3), r"class_probs FLOAT \[1, 3\]", id="classes"),
        pytest.param(ports(image=(fake_gpu.TensorIOMode.INPUT, DataType.FLOAT, (1, 64, 64, 3))),
                     r"input image FLOAT", id="type"),
        pytest.param(ports(extra=(fake_gpu.TensorIOMode.OUTPUT, DataType.FLOAT, (1,))),
                     r"output extra FLOAT \[1\]", id="one output more"),
        pytest.param({name: port for name, port in ports().items() if name != "prob"},
                     r"the engine has input image UINT8 \[1, 64, 64, 3\], output class_probs", id="one less"),
    ],
)  # fmt: skip
def test_an_engine_that_breaks_the_contract_is_refused(engine, message):
    recorder = Recorder()
    with pytest.raises(
        EngineError, match=message + r".*, expected input image UINT8 \[1, 64, 64, 3\]"
    ) as caught:
        open_one(recorder, engine=engine)
    assert "\n" not in str(caught.value)
    assert of_closing(recorder.calls) == TEARDOWN[2:]


def test_an_engine_tensorrt_refuses_is_built_again_once_with_its_words_as_the_reason():
    recorder = Recorder()
    open_one(recorder, plans=(b"foreign", PLAN))
    assert recorder.calls[6:10] == [
        "plan, distrust: None",
        "deserialize foreign",
        "plan, distrust: TensorRT cannot load it; TensorRT says: this is no plan of mine",
        "deserialize a plan",
    ]


def test_an_engine_refused_twice_is_an_error_with_tensorrts_words():
    recorder = Recorder()
    with pytest.raises(
        EngineError, match=r"cannot load the engine it built; TensorRT says: this is no plan of mine"
    ):
        open_one(recorder, plans=(b"foreign", b"foreign"))
    assert of_closing(recorder.calls) == TEARDOWN[3:]


def test_a_layer_that_fails_in_flight_is_told_in_tensorrts_words():
    recorder = Recorder()
    recorder.fails["capture"] = FakeCudaError()
    backend = open_one(recorder)
    recorder.fails["refuses"] = FakeCudaError("always")
    with pytest.raises(EngineError, match=r"cannot run the engine; TensorRT says: this layer cannot run"):
        backend.infer(frames(1))
    backend.close()


def test_a_gpu_error_in_flight_is_one_line_and_closing_after_it_is_quiet():
    recorder = Recorder()
    backend = open_one(recorder)
    dead = FakeCudaError("cuStreamSynchronize failed: an illegal memory access was encountered")
    recorder.fails.update(dict.fromkeys(("synchronize", *TEARDOWN), dead))
    with pytest.raises(EngineError, match=r"square-fp16.onnx: inference failed on Orin: cuStreamSynchronize"):
        backend.infer(frames(1))
    backend.close()


def test_opening_and_inferring_and_closing_may_each_be_in_another_thread():
    recorder = Recorder()
    backend = open_one(recorder)
    results: list[Any] = []
    for job in (lambda: backend.infer(frames(1)), backend.close):
        thread = threading.Thread(target=lambda job=job: results.append(job()))
        thread.start()
        thread.join()
    assert results[0][0].shape == (1, SIZE, SIZE)
    assert of_closing(recorder.calls) == TEARDOWN
    assert recorder.current_in is None


def test_a_second_thread_is_refused_while_one_is_inside(monkeypatch):
    backend = open_one(Recorder())
    inside, go_on = threading.Event(), threading.Event()
    synchronize = fake_gpu.FakeStream.synchronize

    def wait_there(stream: Any) -> None:
        inside.set()
        assert go_on.wait(5)
        synchronize(stream)

    monkeypatch.setattr(fake_gpu.FakeStream, "synchronize", wait_there)
    thread = threading.Thread(target=lambda: backend.infer(frames(1)))
    thread.start()
    assert inside.wait(5)
    for job in (lambda: backend.infer(frames(1)), backend.close):
        with pytest.raises(EngineError, match="another thread is using this backend"):
            job()
    go_on.set()
    thread.join()
    backend.close()


def test_frames_of_another_type_are_refused_instead_of_being_cut():
    backend = open_one(Recorder())
    with pytest.raises(TypeError, match="uint8"):
        backend.infer(frames(1).astype(np.float32))


@pytest.mark.parametrize("info", [ORIN, CARD], ids=["integrated", "discrete"])
def test_layers_are_timed_in_an_execution_context_of_their_own_that_ends_at_once(info):
    recorder = Recorder()
    backend = open_one(recorder, info)
    before = len(recorder.calls)
    by, layers = backend.layer_times(frames(1), runs=4)
    calls = recorder.calls[before:]
    assert by == "tensorrt 10.3.0"
    assert [(layer.name, layer.kind) for layer in layers] == list(
        zip(fake_gpu.LAYERS, ("Conv", "Reformat", "Sigmoid"))
    )
    assert [layer.mean_ms for layer in layers] == pytest.approx(list(fake_gpu.LAYERS.values()))
    assert calls.count("execution context") == calls.count("close execution context") == 1
    assert "launch" not in calls  # the graph would not tell
    assert calls.count("execute") == calls.count("profiled") > 4
    maps, _ = backend.infer(frames(1))
    np.testing.assert_allclose(maps[0], frames(1)[0].mean(axis=2) / 255, atol=1e-6)
    assert recorder.calls.count("profiled") == calls.count("profiled")
    backend.close()


def test_layers_that_cannot_be_timed_leave_the_backend_as_it_was():
    recorder = Recorder()
    backend = open_one(recorder)
    recorder.fails["no room"] = FakeCudaError()
    with pytest.raises(EngineError, match="no execution context"):
        backend.layer_times(frames(1), runs=1)
    del recorder.fails["no room"]
    backend.infer(frames(1))
    backend.close()


def test_the_parts_of_an_inference_are_waited_for_one_by_one():
    recorder = Recorder()
    backend = open_one(recorder, CARD)
    before = len(recorder.calls)
    parts = backend.parts_ns(frames(1))
    calls = [call for call in recorder.calls[before:] if call != "push"]
    assert list(parts) == ["h2d", "compute", "d2h"]
    assert all(duration_ns > 0 for duration_ns in parts.values())
    assert calls == [
        "to device", "synchronize", "execute", "synchronize", "to host", "to host", "synchronize"
    ]  # fmt: skip
    backend.close()
