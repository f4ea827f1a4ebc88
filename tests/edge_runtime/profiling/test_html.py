"""The page of a report: self-contained, harmless whatever things are called, readable on a phone."""

from __future__ import annotations

import shutil
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest

from edge_runtime.profiling.html import as_html
from edge_runtime.profiling.plots import Axis, ticks
from edge_runtime.profiling.reportfile import check
from edge_runtime.profiling.verdict import verdict
from tests.edge_runtime.profiling.samples import profile
from tests.edge_runtime.profiling.shapes import SHAPES, shaped

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
VOID = {"meta", "br", "rect", "path", "polyline", "polygon"}


class Outline(HTMLParser):
    """Tags and attributes of a page; a tag that is not closed where it was opened is an error."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes += attrs
        if tag not in VOID or tag == "rect":
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.mark.parametrize("name", SHAPES)
def test_every_shape_of_report_makes_a_well_formed_page(name):
    report = shaped(name)
    check(report, name)
    page = as_html(report)
    Outline(page)
    for word in ("None<", ">nan", ">inf<", '"nan', "nan,", "inf,"):
        assert word not in page


def test_names_from_outside_are_text_and_nothing_else():
    report = shaped("hostile")
    check(report, "hostile")
    page = as_html(report)
    outline = Outline(page)
    assert "script" not in outline.tags
    assert not {name for name, _ in outline.attributes if name.startswith("on")}
    assert "&lt;script&gt;alert(1)" in page
    body = page[page.index("<body>") :]
    assert all(c.isprintable() or c == "\n" for c in body)
    page.encode("utf-8")


def test_nothing_is_fetched_and_nothing_may_run():
    outline = Outline(as_html(profile(frames=300)))
    assert not outline.tags & {"script", "link", "img", "iframe", "object", "embed", "base", "form", "a"}
    assert not {name for name, _ in outline.attributes} & {"src", "href", "srcset", "action"}
    assert ("content", "default-src 'none'; style-src 'unsafe-inline'") in outline.attributes
    assert "url(" not in as_html(profile(frames=300))


def test_the_largest_report_stays_below_a_megabyte():
    report = shaped("largest")
    assert len(report["pipeline"]["timeline"]) == len(report["engine"]["timeline"]) == 300
    assert len(as_html(report).encode("utf-8")) <= 1_000_000


@pytest.mark.parametrize(
    ("count", "state", "word"),
    [(0, "good", "In time."), (20, "warn", "Mostly in time."), (21, "bad", "Too late.")],
)
def test_the_verdict_follows_the_missed_deadlines(count, state, word):
    report = profile()
    report["pipeline"]["missed"] = {"count": count, "share": count / 2000}
    found = verdict(report)
    assert (found.state, found.word) == (state, word)
    assert f'class="verdict {state}"' in as_html(report)


@pytest.mark.parametrize(("frames", "word"), [(299, "In time so far."), (300, "In time.")])
def test_few_frames_in_time_are_no_promise(frames, word):
    report = profile()
    report["pipeline"].update(frames=frames, missed={"count": 0, "share": 0.0})
    assert verdict(report).word == word


def test_a_fan_that_turns_is_no_throttling():
    report = profile(frames=300)
    for sample in report["board"]["samples"]:
        sample["cooling"] = {"pwm-fan": 3}
    assert 'class="hot"' not in as_html(report)
    report["board"]["samples"][5]["cooling"] = {"pwm-fan": 3, "gpu-throttle-alert": 1}
    assert 'class="hot"' in as_html(report)


def test_the_verdict_gives_the_numbers_a_flight_is_planned_with():
    tiles = {tile.label: (tile.value, tile.unit) for tile in verdict(profile()).tiles}
    assert tiles == {
        "age, p50": ("14.06", "ms"),
        "age, p99": ("18.91", "ms"),
        "deadline missed": ("0.25 %", ""),
        "frame rate": ("70.7", "fps"),
        "most of age": ("infer", ""),
        "hottest, gpu": ("63.0", "°C"),
        "energy per frame": ("140", "mJ"),
    }


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda r: r["pipeline"]["missed"].update(count=0, share=0.0),
            "a share of up to 0.15 % cannot be ruled",
        ),
        (lambda r: r["machine"].update(clocks_fixed=False), "Clocks were not fixed"),
        (lambda r: r.update(pipeline=None), "The network alone was measured"),
        (lambda r: r["pipeline"].update(frames=200), "200 frames only"),
        (lambda r: None, "The board was held back: throttled for 3.33 min"),
        (lambda r: None, "The frames were synthetic"),
    ],
)
def test_what_speaks_against_the_numbers_is_said_beside_them(change, said):
    report = profile()
    change(report)
    assert any(said in remark for remark in verdict(report).remarks)
    assert said in as_html(report)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 21.2, [0, 5, 10, 15, 20]),
        (43.7, 64, [45, 50, 55, 60]),
        (-0.3, 1.1, [0, 0.5, 1]),
        (0, 1e-3, [0, 0.0002, 0.0004, 0.0006, 0.0008, 0.001]),
        (0, 3391, [0, 1000, 2000, 3000]),
    ],
)
def test_ticks_are_few_and_round(low, high, expected):
    assert ticks(Axis(low, high)) == pytest.approx(expected)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield started
        started.close()


@pytest.mark.parametrize("width", [320, 390, 1200])
@pytest.mark.parametrize("shape", ["largest", "hostile"])
def test_a_browser_shows_it_without_a_request_and_without_scrolling_sideways(
    browser: Browser, tmp_path: Path, width: int, shape: str
):
    path = tmp_path / "report.html"
    path.write_text(as_html(shaped(shape)), encoding="utf-8")
    context = browser.new_context(viewport={"width": width, "height": 700})
    page = context.new_page()
    requests, said = [], []
    page.on("request", lambda request: requests.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.on("dialog", lambda dialog: said.append(dialog.message))
    page.goto(path.as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(OUTSIDE) == []
    assert page.evaluate("getComputedStyle(document.querySelector('.plot')).position") == "relative"
    assert requests == [path.as_uri()]
    assert said == []
    context.close()


OUTSIDE = """() => [...document.querySelectorAll("main *")].filter(one => {
  const place = one.getBoundingClientRect();
  const outside = place.right > innerWidth + 0.5 || place.left < -0.5;
  return outside && place.width > 0 && !one.closest(".scroll, svg");
}).map(one => one.outerHTML.slice(0, 120))"""


def test_dark_and_light_and_paper_have_their_own_colours(browser: Browser, tmp_path: Path):
    path = tmp_path / "report.html"
    path.write_text(as_html(profile(frames=300)), encoding="utf-8")
    seen = []
    for scheme, media in (("light", "screen"), ("dark", "screen"), ("dark", "print")):
        context = browser.new_context(color_scheme=scheme)
        page = context.new_page()
        page.goto(path.as_uri())
        page.emulate_media(media=media, color_scheme=scheme)
        seen.append(page.evaluate("getComputedStyle(document.querySelector('section')).backgroundColor"))
        context.close()
    assert seen == ["rgb(255, 255, 255)", "rgb(19, 26, 34)", "rgb(255, 255, 255)"]
