"""What a flight has opened is closed when the next thing cannot be opened."""

from __future__ import annotations

import pytest

from edge_runtime import flight
from edge_runtime.errors import SinkError, SourceError, UsageError
from edge_runtime.flight import RunSettings, fly
from tests.edge_runtime.fakes import FakeBackend, FakeSource


@pytest.fixture
def backend(monkeypatch) -> FakeBackend:
    it = FakeBackend()
    monkeypatch.setattr(flight, "open_backend", lambda *arguments: it)
    return it


def test_a_source_that_cannot_be_opened_closes_the_backend(backend):
    with pytest.raises(SourceError):
        fly(RunSettings(source="no-such-clip.mp4", model="demo"))
    assert backend.closed


def test_a_sink_that_cannot_be_opened_closes_backend_and_source(backend, monkeypatch, tmp_path):
    source = FakeSource(1)
    monkeypatch.setattr(flight, "open_source", lambda uri: source)
    with pytest.raises(SinkError):
        fly(RunSettings(source="x", model="demo", sinks=(f"jsonl:{tmp_path}/none/out.jsonl",)))
    assert backend.closed
    assert source.closed


def test_a_run_to_its_end_closes_both(backend, monkeypatch, tmp_path):
    source = FakeSource(2)
    monkeypatch.setattr(flight, "open_source", lambda uri: source)
    monkeypatch.setattr(flight, "sha256_of", lambda path: "0" * 64)
    fly(RunSettings(source="x", model="demo", sinks=(f"jsonl:{tmp_path}/out.jsonl",)))
    assert backend.closed
    assert source.closed
    assert backend.calls == 2


def test_angles_without_a_camera_file_are_refused_before_the_run(monkeypatch):
    class Angles:
        name, capacity, needs_camera = "mavlink:somewhere", 1, True
        closed = False

        def close(self) -> None:
            self.closed = True

    sink = Angles()
    monkeypatch.setattr(flight, "_open_sinks", lambda *_: [sink])
    with pytest.raises(UsageError, match="mavlink:somewhere: angles need a camera file"):
        flight.fly(flight.RunSettings("demo"))
    assert sink.closed


def test_what_a_run_says_never_holds_the_credentials_of_its_source(monkeypatch, tmp_path, caplog):
    caplog.set_level("DEBUG", "edge_runtime")
    monkeypatch.setattr(flight, "open_source", lambda uri: FakeSource(2))
    sinks = (f"jsonl:{tmp_path}/out.jsonl",)
    fly(RunSettings(source="rtsp://me:secret@10.0.0.5/stream", model="demo", sinks=sinks))
    assert "2 frame(s)" in caplog.text
    assert "secret" not in caplog.text
    assert "secret" not in (tmp_path / "out.jsonl").read_text()
