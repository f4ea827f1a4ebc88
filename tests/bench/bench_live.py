"""How old results are, and what the loop around the network costs: `python -m tests.bench.bench_live`.

Prints each figure with its target; exits 1 when one is missed. `--peer` measures Ultralytics' own loop beside
ours, installed into an environment of its own (some GB of downloads), with a network of random weights.
"""

from __future__ import annotations

import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import venv
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from edge_runtime.frames import Frame
from edge_runtime.modelfile import ASSETS, find_model
from edge_runtime.pipeline import Pipeline
from edge_runtime.preprocess import resize_frame
from edge_runtime.tracking import Tracker
from tests.edge_runtime.conftest import square_frame
from tests.edge_runtime.fakes import FakeBackend, FakeSource

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edge_runtime.sinks import Result

MOST_OVERHEAD_MS = 1.2
LEAST_THROUGHPUT = 0.95
PEER = ("ultralytics", "onnx", "onnxruntime")
PEER_LOOP = """
import json, statistics, sys, time
from ultralytics import YOLO
clip, size = sys.argv[1], int(sys.argv[2])
YOLO("yolo11n.yaml").export(format="onnx", imgsz=size)
model = YOLO("yolo11n.onnx", task="detect")
started, over = None, []
for result in model.predict(clip, stream=True, imgsz=size, verbose=False, device="cpu"):
    now = time.perf_counter()
    if started is not None:
        over.append((now - started) * 1e3 - result.speed["inference"])
    started = now
print(json.dumps(statistics.median(over[5:])))
"""


class Ages:
    """A sink that keeps ages and when they were seen."""

    name, capacity = "ages", 64

    def __init__(self) -> None:
        self.ages_ms: list[float] = []

    def start(self, header: dict[str, Any]) -> None:
        """Nothing to begin."""

    def write(self, result: Result) -> None:
        self.ages_ms.append(result.record["age_ms"])

    def close(self) -> None:
        """Nothing to end."""


class Camera(FakeSource):
    """Frames at a steady rate, each stamped when it is there."""

    def __init__(self, seconds: float, fps: float) -> None:
        super().__init__(int(seconds * fps), live=True)
        self.fps = fps

    def __iter__(self) -> Iterator[Frame]:
        start = time.monotonic()
        for index in range(self._count):
            time.sleep(max(0.0, start + index / self.fps - time.monotonic()))
            image = square_frame(x=index % 90, width=640, height=480)
            image[0, 0] = index % 251
            yield Frame(image, index, time.monotonic_ns())


def live_age(seconds: float, fps: float, infer_ms: float) -> bool:
    """Ages of a 60 fps camera before a 15 fps engine: bounded, and no older at the end."""
    sink = Ages()
    backend = FakeBackend(infer_ms / 1e3)
    Pipeline(
        Camera(seconds, fps),
        backend,
        [sink],
        contract=backend.contract,
        header={"v": 1, "type": "header"},
        tracker=Tracker(),
    ).run()
    ages = sink.ages_ms[5:]
    half = len(ages) // 2
    p99, first, second = (float(np.percentile(part, 99)) for part in (ages, ages[:half], ages[half:]))
    bound = 2 * infer_ms + 1000 / fps
    grows = statistics.median(ages[half:]) - statistics.median(ages[:half])
    met = p99 <= bound and grows < 1.0
    print(
        f"{'ok  ' if met else 'MISS'} live age: p50 {statistics.median(ages):.1f}, p99 {p99:.1f} ms "
        f"(at most {bound:.1f}); halves p99 {first:.1f}, {second:.1f}, median grew {grows:+.2f} ms"
        f"  <- {fps:g} fps before {infer_ms:.1f} ms for {seconds:g} s"
    )
    return met


def engine_alone(model: str, seconds: float) -> tuple[float, float]:
    """Frames per second and median ms of `session.run` alone, one thread, a frame ready in memory."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    path = str(find_model(model))
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    _, height, width, _ = session.get_inputs()[0].shape
    image = resize_frame(square_frame(width=640, height=480), height, width)[None]
    taken = []
    ends = time.perf_counter() + seconds
    while time.perf_counter() < ends:
        started = time.perf_counter()
        session.run(["prob", "class_probs"], {"image": image})
        taken.append(time.perf_counter() - started)
    return len(taken) / sum(taken), statistics.median(taken) * 1e3


def flown(model: str, clip: str, *flags: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Summary and records of a run of the command in a process of its own, one thread for the network."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "edge_runtime", "run", "--model", model, "--source", clip]
        command += ["--threads", "1", "--sink", f"jsonl:{folder}/out.jsonl", "-q", *flags]
        subprocess.run([*command, "--summary-json", f"{folder}/summary.json"], check=True)
        lines = Path(folder, "out.jsonl").read_text().splitlines()[1:]
        return json.loads(Path(folder, "summary.json").read_text()), [json.loads(line) for line in lines]


def overhead(model: str, repeats: int) -> tuple[float, float]:
    """(path, loop), both ms p50 beyond the network, best of `repeats` runs of the demo clip, 640 x 480.

    path: from capture to record without the network and without waiting for the frame before: hand-over,
    resize, boxes, track, record. loop: from record to record without the network; the capture thread decodes
    and resizes meanwhile. The latter is what the peer's loop is measured by.
    """
    between_ms = hand_over()
    paths, loops = [], []
    for _ in range(repeats):
        _, records = flown(model, "demo")
        lat = [r["lat_ms"] for r in records[5:]]
        emitted_ms = [r["t_emit_mono_ns"] / 1e6 for r in records[4:]]
        gaps_ms = [after - before for before, after in itertools.pairwise(emitted_ms)]
        paths.append(statistics.median(t["tot"] - t["cap"] - t["infer"] for t in lat) + between_ms)
        loops.append(statistics.median(gap - t["infer"] for gap, t in zip(gaps_ms, lat, strict=True)))
        parts = ", ".join(
            f"{key} {statistics.median(t[key] for t in lat):.2f}" for key in ("pre", "post", "infer")
        )
        print(f"     path {paths[-1]:.2f}, loop {loops[-1]:.2f} ms p50; {parts}, hand-over {between_ms:.2f}")
    return min(paths), min(loops)


def throughput(model: str, repeats: int) -> bool:
    """Frames per second of the command over those of the bare engine; best of each."""
    ours, bare = [], []
    for _ in range(repeats):
        bare.append(engine_alone(model, 3.0)[0])
        ours.append(flown(model, "demo")[0]["fps"])
    share = max(ours) / max(bare)
    met = share >= LEAST_THROUGHPUT
    print(
        f"{'ok  ' if met else 'MISS'} throughput: {max(ours):.1f} of {max(bare):.1f} fps = {share:.2f} "
        f"(at least {LEAST_THROUGHPUT:g})  <- dips-edge run --source demo --threads 1, best of {repeats}"
    )
    return met


def hand_over() -> float:
    """Median ms from putting a frame into an idle mailbox to the other thread having it."""
    from edge_runtime.mailbox import Mailbox

    box: Mailbox[int] = Mailbox(1)
    taken: list[int] = []
    reader = threading.Thread(target=lambda: [taken.append(time.monotonic_ns() - put) for put in box])
    reader.start()
    for _ in range(200):
        time.sleep(0.005)
        box.put(time.monotonic_ns())
    box.close()
    reader.join()
    return statistics.median(taken) / 1e6


def install_peer(folder: Path) -> Path:
    """The Python of a new environment with Ultralytics in it."""
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    subprocess.run([str(python), "-m", "pip", "install", "--quiet", "--no-compile", *PEER], check=True)
    return python


def peer(python: Path, folder: Path, size: int) -> float:
    """ms per frame of Ultralytics' predict(stream=True) beyond its inference, p50; same clip."""
    command = [str(python), "-c", PEER_LOOP, str(ASSETS / "demo.mp4"), str(size)]
    offline = {**os.environ, "YOLO_AUTOINSTALL": "false", "YOLO_OFFLINE": "true"}
    done = subprocess.run(command, check=True, cwd=folder, env=offline, capture_output=True, text=True)
    return float(done.stdout.splitlines()[-1])


def at_most(what: str, value_ms: float, bound_ms: float, command: str) -> bool:
    """Print one figure beside its bound; whether it is met."""
    met = value_ms <= bound_ms
    print(f"{'ok  ' if met else 'MISS'} {what}: {value_ms:.2f} ms p50 (at most {bound_ms:.2f})  <- {command}")
    return met


@click.command(context_settings={"show_default": True})
@click.option("--model", default="demo")
@click.option("--live-seconds", default=20.0, help="600 for the whole claim.")
@click.option("--repeats", default=3)
@click.option("--peer", "with_peer", is_flag=True, help="Also install and measure Ultralytics.")
@click.option("--peer-python", type=click.Path(path_type=Path), help="A Python that has Ultralytics already.")
@click.option("--peer-size", default=320, help="Input size of its network.")
def main(
    model: str,
    live_seconds: float,
    repeats: int,
    with_peer: bool,
    peer_python: Path | None,
    peer_size: int,
) -> None:
    """Measure everything, print it, exit 1 when a target is missed."""
    met = [live_age(live_seconds, 60.0, 1000 / 15)]
    path_ms, loop_ms = overhead(model, repeats)
    command = f"dips-edge run --source demo --threads 1, 640 x 480, best of {repeats}"
    met.append(at_most("capture to record beyond the network", path_ms, MOST_OVERHEAD_MS, command))
    if with_peer or peer_python:
        with tempfile.TemporaryDirectory() as folder:
            python = peer_python or install_peer(Path(folder) / "peer")
            peer_ms = peer(python, Path(folder), peer_size)
        print(f"     Ultralytics' loop beyond its inference at {peer_size} px: {peer_ms:.2f} ms p50")
        met.append(at_most("record to record beyond the network", loop_ms, peer_ms / 2, command))
    met.append(throughput(model, repeats))
    sys.exit(0 if all(met) else 1)


if __name__ == "__main__":
    main()
