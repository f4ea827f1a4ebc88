"""What the web page costs a flight: a write with and without a viewer, one picture, one closing.

python -m tests.bench.bench_web
"""

from __future__ import annotations

import statistics
import threading
import time
from dataclasses import replace

import numpy as np

from tests.edge_runtime.results import result
from tests.edge_runtime.web.viewers import ask, page, viewer

WRITES = 300
PERIOD_S = 1 / 30


def main() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8)
    image = np.asarray(
        np.kron(noise, np.ones((8, 8, 1), np.uint8))
    )  # 640 x 480 with as much detail as a scene
    one = result(image=image)
    with page() as sink:
        p50, p99 = _write_us(sink, one), _write_us(sink, one, 99)
        print(f"write, nobody watching: p50 {p50:.1f} us, p99 {p99:.1f} us")
        assert sink.board.encoded == 0
    for heat in (False, True):
        with page() as sink, viewer(sink) as line:
            sizes: list[int] = []
            watching = threading.Thread(target=_watch, args=(line, sizes, heat))
            watching.start()
            cpu_s, started_s = time.process_time(), time.monotonic()
            p50 = _write_us(sink, one)
            share = (time.process_time() - cpu_s) / (time.monotonic() - started_s)
            encoded = sink.board.encoded
            sink.close()
            watching.join()
        name = "a viewer with heat map" if heat else "a viewer"
        print(f"write, {name}: p50 {p50:.1f} us; {encoded} of {WRITES} coded; both ends {share:.0%} CPU")
    reply = sink.board.reply(one, heat=False, asked_ns=0, with_live=False, with_header=False)
    started_s = time.perf_counter()
    for index in range(50):
        fresh = replace(one, record={**one.record, "seq": index})
        sink.board.reply(fresh, heat=True, asked_ns=0, with_live=True, with_header=False)
    print(
        f"one answer, 640 x 480: {(time.perf_counter() - started_s) * 20:.2f} ms, {len(reply) / 1024:.0f} KB"
    )
    with page() as sink, viewer(sink):
        started_s = time.monotonic()
        sink.close()
        print(f"closing with a viewer: {(time.monotonic() - started_s) * 1000:.0f} ms")


def _write_us(sink, one, percent: float = 50) -> float:
    """Percentile of `write` in microseconds at 30 results a second."""
    times = []
    for index in range(WRITES):
        fresh = replace(one, record={**one.record, "seq": index})
        started_ns = time.perf_counter_ns()
        sink.write(fresh)
        times.append((time.perf_counter_ns() - started_ns) / 1e3)
        time.sleep(PERIOD_S)
    return statistics.quantiles(times, n=100)[int(percent) - 1]


def _watch(line, sizes: list[int], heat: bool) -> None:
    from websockets.exceptions import ConnectionClosed

    try:
        while True:
            answer = ask(line, "next heat" if heat else "next")
            sizes.append(0 if answer.picture is None else answer.picture.size)
    except ConnectionClosed:
        return


if __name__ == "__main__":
    main()
