"""Speed and size of `dips-edge run`, against its targets: `python -m tests.bench.bench_run`.

Every figure is printed with the command that gives it; exits 1 when a target is missed. Runs and bare loops
alternate and the best of each counts, so that a busy machine disturbs both alike.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
import numpy as np

from edge_runtime.boxes import decode_map

PYTHON = [sys.executable, "-m"]
TARGETS = {
    "throughput": (0.90, "of the bare loop", "at least"),
    "decode": (1.0, "ms p50", "at most"),
    "first record": (2.0, "s after start", "at most"),
    "memory": (400.0, "MB RSS", "at most"),
    "help": (0.3, "s", "at most"),
}


def bare_loop(model: str, source: str, threads: int) -> tuple[int, float]:
    """Frames and seconds of the least that gives maps: decode, resize, `session.run`, one after the other."""
    import cv2
    import onnxruntime

    from edge_runtime.modelfile import ASSETS, find_model

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(
        str(find_model(model)), options, providers=["CPUExecutionProvider"]
    )
    _, height, width, _ = session.get_inputs()[0].shape
    session.run(None, {"image": np.zeros((1, height, width, 3), np.uint8)})
    capture = cv2.VideoCapture(str(ASSETS / "demo.mp4") if source == "demo" else source)
    count, started = 0, time.perf_counter()
    while (read := capture.read())[0]:
        image = cv2.resize(read[1], (width, height), interpolation=cv2.INTER_AREA)
        session.run(["prob", "class_probs"], {"image": image[None]})
        count += 1
    return count, time.perf_counter() - started


def throughput(model: str, source: str, threads: int, repeats: int) -> tuple[float, str]:
    """Frames per second of `run` over those of the bare loop, each in a process of its own."""
    arguments = ["--model", model, "--source", source, "--threads", str(threads)]
    run_fps, bare_fps = [], []
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as folder:
            sinks = ["--sink", f"jsonl:{folder}/out.jsonl", "--summary-json", f"{folder}/summary.json", "-q"]
            subprocess.run([*PYTHON, "edge_runtime", "run", *arguments, *sinks], check=True)
            run_fps.append(json.loads(Path(folder, "summary.json").read_text())["fps"])
        bare = [*PYTHON, "tests.bench.bench_run", "--bare", *arguments]
        bare_fps.append(float(subprocess.run(bare, check=True, capture_output=True, text=True).stdout))
    best_run, best_bare = max(run_fps), max(bare_fps)
    print(
        f"  run: {best_run:.1f} fps   bare loop: {best_bare:.1f} fps   ({threads} threads, best of {repeats})"
    )
    return best_run / best_bare, f"dips-edge run {' '.join(arguments)} --sink jsonl:out.jsonl"


def decoding(size: int = 224) -> tuple[float, str]:
    """Median time of map to boxes for a map with two warm regions and noise as smooth as a decoder's."""
    import cv2

    y, x = np.mgrid[:size, :size] / size
    blobs = np.exp(-(((x - 0.4) / 0.15) ** 2 + ((y - 0.5) / 0.25) ** 2)) + np.exp(
        -(((x - 0.85) / 0.05) ** 2 + ((y - 0.2) / 0.05) ** 2)
    )
    noise = cv2.resize(np.random.default_rng(0).random((size // 4, size // 4)), (size, size)) * 0.2
    score_map = np.clip(blobs + noise, 0, 1).astype(np.float32)
    taken = []
    for _ in range(400):
        started = time.perf_counter()
        decision = decode_map(score_map, 0.4, 0.5)
        taken.append(time.perf_counter() - started)
    assert len(decision.candidates) == 2
    return float(np.median(taken)) * 1e3, f"decode_map of a {size} x {size} map with two regions"


def first_record(model: str, source: str) -> tuple[float, str]:
    """Seconds from starting the process to its first record on stdout; best of three."""
    taken = []
    for _ in range(3):
        started = time.perf_counter()
        command = [*PYTHON, "edge_runtime", "run", "--model", model, "--source", source, "-q"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            lines = [process.stdout.readline() for _ in range(2)]
            taken.append(time.perf_counter() - started)
            process.kill()
        assert '"type":"track"' in lines[1]
    return min(taken), f"dips-edge run --model {model} --source {source}"


def memory(model: str, source: str) -> tuple[float, str]:
    """Peak resident memory of a whole run with records and overlay video, in MB."""
    with tempfile.TemporaryDirectory() as folder:
        sinks = ["--sink", f"jsonl:{folder}/o.jsonl", "--sink", f"video:{folder}/o.mp4"]
        command = [*PYTHON, "edge_runtime", "run", "--model", model, "--source", source, *sinks, "-q"]
        script = "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True); "
        script += "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
        done = subprocess.run(
            [sys.executable, "-c", script, *command], check=True, capture_output=True, text=True
        )
    return int(done.stdout) * 1024 / 1e6, f"dips-edge run --model {model} --source {source} with both sinks"


def help_time() -> tuple[float, str]:
    """Wall time of `dips-edge --help`, interpreter included; best of five."""
    taken = []
    for _ in range(5):
        started = time.perf_counter()
        subprocess.run([*PYTHON, "edge_runtime", "--help"], check=True, stdout=subprocess.DEVNULL)
        taken.append(time.perf_counter() - started)
    return min(taken), "dips-edge --help"


def report(name: str, value: float, command: str) -> bool:
    """Print one figure beside its target; whether it is met."""
    target, unit, sense = TARGETS[name]
    met = value >= target if sense == "at least" else value <= target
    print(
        f"{'ok  ' if met else 'MISS'} {name}: {value:.3g} {unit} (target: {sense} {target:g})  <- {command}"
    )
    return met


@click.command(context_settings={"show_default": True})
@click.option("--model", default="demo")
@click.option("--source", default="demo", help="A video, or demo.")
@click.option("--threads", default=2)
@click.option("--repeats", default=5)
@click.option("--bare", is_flag=True, hidden=True)
def main(model: str, source: str, threads: int, repeats: int, bare: bool) -> None:
    """Measure everything, print it, exit 1 when a target is missed."""
    if bare:
        count, seconds = bare_loop(model, source, threads)
        print(count / seconds)
        return
    met = [
        report("throughput", *throughput(model, source, threads, repeats)),
        report("decode", *decoding()),
        report("first record", *first_record(model, source)),
        report("memory", *memory(model, source)),
        report("help", *help_time()),
    ]
    sys.exit(0 if all(met) else 1)


if __name__ == "__main__":
    main()
