"""What keeping a flight costs: time and bytes a frame for each coder of `--record`. Run by hand.

    python -m tests.bench.bench_record [--source CLIP] [--frames N]

CPU time of coding and of reading back, and bytes on disk, beside those of the raw pictures; says whether
every pixel came back.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import tempfile
import time
from pathlib import Path

import numpy as np

from edge_runtime.circumstances import Circumstances
from edge_runtime.recording.format import CODECS
from edge_runtime.sinks import Result, open_sink
from edge_runtime.sources import open_source


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    flags.add_argument("--source", default="demo")
    flags.add_argument("--frames", type=int, default=100)
    asked = flags.parse_args()
    with contextlib.closing(open_source(asked.source)) as source:
        frames = list(itertools.islice(source, asked.frames))
    height, width = frames[0].image_bgr_u8.shape[:2]
    raw_kb = width * height * 3 / 1e3
    print(f"{len(frames)} frames of {asked.source}, {width} x {height}, raw {raw_kb:.0f} kB each")
    for codec in CODECS:
        with tempfile.TemporaryDirectory() as folder:
            flight = Path(folder) / "flight"
            sink = open_sink(f"record:{flight}?codec={codec}")
            sink.start({"source": {"fps": 30.0, "size": [width, height]}})
            started = time.process_time()
            for seq, frame in enumerate(frames):
                sink.write(Result(frame, np.zeros((1, 1), np.float32), {"seq": seq}, Circumstances(0, 0.0)))
            sink.close()
            wrote_ms = 1e3 * (time.process_time() - started) / len(frames)
            size = sum(path.stat().st_size for path in flight.iterdir()) / len(frames)
            started = time.process_time()
            with contextlib.closing(open_source(f"replay:{flight}")) as replay:
                again = list(replay)
            read_ms = 1e3 * (time.process_time() - started) / len(frames)
        same = all(
            np.array_equal(a.image_bgr_u8, b.image_bgr_u8) for a, b in itertools.zip_longest(frames, again)
        )
        what = "to the bit" if same else "not to the bit"
        times = f"{wrote_ms:6.1f} ms to write, {read_ms:6.1f} ms to read"
        print(f"{codec:8} {times}, {size / 1e3:6.0f} kB, {what}")


if __name__ == "__main__":
    main()
