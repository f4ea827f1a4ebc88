"""The page in headless Chromium: what a pilot sees while run, camera, link or process fail."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from edge_runtime.live import RunContext
from tests.edge_runtime.web.viewers import Flight, page, place

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
ROOT = Path(__file__).parents[3]
TOKEN = "a-long-token"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    with api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield started
        started.close()


@contextmanager
def tab(browser: Browser, url: str, **options: object) -> Iterator[Page]:
    """A window on the page in which no script fails and nothing is fetched from elsewhere."""
    context = browser.new_context(viewport={"width": 1100, "height": 700}, **options)
    shown = context.new_page()
    shown.set_default_timeout(10_000)
    failures, requests = [], []
    shown.on("pageerror", lambda error: failures.append(str(error)))
    shown.on("request", lambda request: requests.append(request.url))
    shown.goto(url)
    try:
        yield shown
        assert failures == []
        assert [one for one in requests if not one.startswith((url.split("?")[0], "data:", "blob:"))] == []
    finally:
        context.close()


def until(shown: Page, condition: str, seconds: float = 10.0) -> None:
    """Wait for it; Playwright's own way is forbidden by the page's content policy."""
    deadline_s = time.monotonic() + seconds
    while not shown.evaluate(f"Boolean({condition})"):
        assert time.monotonic() < deadline_s, f"not within {seconds} s: {condition}"
        shown.wait_for_timeout(30)


@contextmanager
def slow_link(target: tuple[str, int], delay_s: float) -> Iterator[str]:
    """An address behind which the page answers, everything it says delayed."""

    def pump(source: socket.socket, sink: socket.socket, wait_s: float) -> None:
        with suppress(OSError):
            while part := source.recv(1 << 20):
                time.sleep(wait_s)
                sink.sendall(part)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_WR)

    listening = socket.create_server(("127.0.0.1", 0))
    with listening as entrance, ExitStack() as opened, ThreadPoolExecutor(32) as pool:

        def accept() -> None:
            with suppress(OSError):
                while True:
                    near = opened.enter_context(entrance.accept()[0])
                    far = opened.enter_context(socket.create_connection(target))
                    pool.submit(pump, near, far, 0.0)
                    pool.submit(pump, far, near, delay_s)

        pool.submit(accept)
        try:
            yield f"http://127.0.0.1:{entrance.getsockname()[1]}/"
        finally:
            entrance.shutdown(socket.SHUT_RDWR)


BOX_AND_PIXELS = """() => {  // of the same moment: left edge, and green within and beside the box
  const canvas = document.getElementById("picture"), pen = canvas.getContext("2d");
  const [x0, y0, x1, y1] = canvas.dataset.box.split(",").map(Number);
  const green = (x, y) => pen.getImageData(x * canvas.width, y * canvas.height, 1, 1).data[1];
  const middle = (y0 + y1) / 2;
  return [x0, green((x0 + x1) / 2, middle), green(x1 < 0.85 ? x1 + 0.1 : x0 - 0.1, middle)];
}"""
IS_GREY = """(() => {
  const canvas = document.getElementById("picture");
  const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  let colored = 0;
  for (let i = 0; i < data.length; i += 4) colored += data[i] - data[i + 2] > 60;
  return colored < 50;
})()"""
IS_LIVE = "document.body.dataset.state === 'TRACKING' && document.getElementById('stale').hidden"
IS_STALE = "document.body.dataset.state === 'STALE' && !document.getElementById('stale').hidden"


def test_the_page_shows_a_box_that_moves_with_the_thing_in_the_picture(browser):
    with page() as sink, tab(browser, sink.url) as shown, Flight(sink, score=0.87):
        until(shown, IS_LIVE)
        places = set()
        for _ in range(4):
            left, inside, beside = shown.evaluate(BOX_AND_PIXELS)
            places.add(left)
            assert inside > 230
            assert beside < 30
            shown.wait_for_timeout(150)
        assert len(places) == 4
        assert shown.text_content("#state") == "TRACKING"
        assert shown.text_content("#class") == "square"
        assert shown.text_content("#score") == "0.87"
        assert shown.text_content("#track") == "track 1"
        assert shown.text_content("#what") == "rtsp://camera/live  ·  square.onnx"
        assert shown.title().startswith("TRACKING")


def test_figures_of_the_run_are_shown_and_a_fault_is_an_alarm(browser):
    figures = {
        "t_mono_ns": 9_000_000_000,
        "uptime_s": 4000,
        "fps": 14.96,
        "frames": 77,
        "valid": 70,
        "healthy": False,
        "reason": "no frame for 200 ms",
        "faults": 2,
        "source": {"connected": True, "reconnects": 3, "unreadable": 0},
        "dropped": {"frames": 12},
        "sinks": [{"name": "<b>jsonl:x</b>", "dropped": 0, "failure": "disk full"}],
        "stages": {"age": {"recent": {"p50_ms": 41.26, "p95_ms": 60.0, "p99_ms": None}}},
        "transitions": [
            {"t_mono_ns": 2_000_000_000, "from": "SEARCHING", "to": "TRACKING", "tid": 4, "reason": None},
            {"t_mono_ns": 8_000_000_000, "from": "TRACKING", "to": "FAULT", "tid": None, "reason": "stalled"},
        ],
    }
    bearing = {"az": -0.1, "el": 0.05, "size_x": 0.2, "size_y": 0.4}
    with page(context=RunContext(stats=lambda: figures)) as sink, tab(browser, sink.url) as shown:
        with Flight(sink, bearing=bearing, range_m=84.2):
            until(shown, "document.body.dataset.state === 'FAULT'")
            assert shown.text_content("#fault") == "no frame for 200 ms"
            assert shown.text_content("#valid") == "not valid"
            assert shown.text_content("#az") == "5.7° left"
            assert shown.text_content("#el") == "2.9° up"
            assert shown.text_content("#range") == "84 m"
        drops = shown.locator("#drops li").all_inner_texts()
        assert drops[0].split("\n")[-1] == "12"
        assert drops[1].split("\n") == ["<b>jsonl:x</b>", "failed"]  # text, never markup
        assert shown.locator("#row-age td").all_inner_texts() == ["41.3", "60.0", "–"]
        assert "15.0 results/s" in shown.text_content("footer")
        newest = shown.locator("#transitions li").all_inner_texts()
        assert "FAULT" in newest[0]
        assert "1 s ago" in newest[0]
        assert "track 4" in newest[1]


def test_a_lost_source_turns_the_picture_grey_and_counts_until_it_is_back(browser):
    with page() as sink, tab(browser, sink.url) as shown:
        with Flight(sink):
            until(shown, IS_LIVE)
        until(shown, IS_STALE)
        assert shown.inner_text("#stale-text").startswith("no data for 1.")
        assert shown.text_content("#state") == "NO DATA"
        assert shown.text_content("#valid") == ""
        shown.wait_for_timeout(400)  # the change to grey takes a moment
        assert "grayscale(1)" in shown.evaluate("getComputedStyle(document.getElementById('picture')).filter")
        with Flight(sink):
            until(shown, IS_LIVE)


def test_the_page_survives_a_reload_and_a_restart_of_the_run(browser):
    with page() as sink, tab(browser, sink.url) as shown:
        with Flight(sink):
            until(shown, IS_LIVE)
            shown.click("#heat")
            shown.reload()
            until(shown, IS_LIVE)
            assert shown.get_attribute("#heat", "aria-pressed") == "true"  # remembered
        host, port = place(sink)
        sink.close()
        until(shown, IS_STALE + " && document.getElementById('link-text').textContent === 'run ended'")
        with page(f"//{host}:{port}") as again, Flight(again):
            until(shown, IS_LIVE)


def test_a_process_that_hangs_or_is_killed_is_not_shown_as_live(browser):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    program = (
        "import sys, time; from tests.edge_runtime.web.viewers import Flight, page\n"
        f"with page('//127.0.0.1:{port}') as sink, Flight(sink): print('up', flush=True); time.sleep(60)"
    )
    run = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE)
    try:
        assert run.stdout is not None
        assert run.stdout.readline() == b"up\n"
        with tab(browser, f"http://127.0.0.1:{port}/") as shown:
            until(shown, IS_LIVE)
            os.kill(run.pid, signal.SIGSTOP)
            stopped_s = time.monotonic()
            until(shown, IS_STALE)
            assert time.monotonic() - stopped_s < 4
            os.kill(run.pid, signal.SIGCONT)
            until(shown, IS_LIVE)
            run.kill()
            until(shown, IS_STALE + " && document.body.dataset.link === 'connecting'")
            assert "no connection" in shown.inner_text("#stale-why")
    finally:
        run.kill()
        run.communicate()


def test_a_link_that_delays_pictures_makes_them_older_on_the_page(browser):
    with page() as sink, slow_link(place(sink), delay_s=0.3) as url, tab(browser, url) as shown, Flight(sink):
        until(shown, IS_LIVE)
        text = shown.inner_text("#age")
        assert text.endswith(" ms")
        assert 300 <= int(text.partition(" ms")[0]) < 1000
        assert shown.get_attribute("#age", "class") == "num late"
        assert shown.inner_text("#valid") == "not valid"
        assert shown.get_attribute("#valid", "class") == "tag late"  # not in the green of TRACKING


def test_the_heat_map_colors_the_picture_at_a_press_of_a_button_or_key(browser):
    with page() as sink, tab(browser, sink.url) as shown, Flight(sink, box=[0.0, 0.0, 0.1, 0.1]):
        until(shown, IS_LIVE)
        until(shown, IS_GREY)
        shown.click("#heat")
        until(shown, f"!{IS_GREY}")
        shown.keyboard.press("h")
        until(shown, IS_GREY)


def test_without_the_token_there_is_no_page_and_with_it_there_is(browser):
    with page(f"//0.0.0.0:0?token={TOKEN}") as sink, Flight(sink):
        url = sink.url.replace("0.0.0.0", "127.0.0.1")
        with tab(browser, url) as shown:
            assert "a token is needed" in shown.inner_text("body")
            assert shown.query_selector("#picture") is None
        with tab(browser, f"{url}?token={TOKEN}") as shown:
            until(shown, IS_LIVE)


def test_nothing_is_wider_than_the_screen_in_sunlight_and_at_night(browser):
    longest = {"valid": False, "cls": "telecommunication_tower_lattice", "tid": 12345, "flags": ["a" * 80]}
    with page() as sink, tab(browser, sink.url, color_scheme="light") as shown, Flight(sink, **longest):
        until(shown, IS_LIVE)
        for width in (320, 390, 844, 1920):
            shown.set_viewport_size({"width": width, "height": 640})
            until(shown, f"innerWidth === {width}")
            assert shown.evaluate("document.documentElement.scrollWidth") <= width
            assert shown.locator("#picture").bounding_box()["width"] > 0.5 * width
        light = shown.evaluate("getComputedStyle(document.body).backgroundColor")
        shown.emulate_media(color_scheme="dark")
        assert shown.evaluate("getComputedStyle(document.body).backgroundColor") != light
