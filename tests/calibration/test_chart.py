"""The bar chart is well-formed SVG whose bars are as long as they should be."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from calibration.chart import WIDTH_PX, Bar, bar_chart

SVG = "{http://www.w3.org/2000/svg}"


def drawn(text: str) -> tuple[list[float], list[str]]:
    """Lengths of the bars and all texts of a chart."""
    root = ElementTree.fromstring(text)
    bars = [float(r.get("width", "")) for r in root.iter(f"{SVG}rect") if r.get("height") == "13"]
    return bars, [t.text or "" for t in root.iter(f"{SVG}text")]


def test_bars_are_in_proportion_and_values_stand_beside_them() -> None:
    bars, texts = drawn(bar_chart("t", "s", "unit", [Bar("a", 4.0), Bar("b", 1.0, "note"), Bar("c", 0.0)]))
    assert bars == pytest.approx([WIDTH_PX, WIDTH_PX / 4, 0.5])
    assert {"t", "s", "unit", "a", "b", "c", "4", "1 · note", "0"} <= set(texts)


@pytest.mark.parametrize(
    ("largest", "top"),
    [(1.0, "1"), (1.1, "2"), (0.0031, "0.004"), (9.0, "10"), (0.0, "1"), (80.0, "80")],
)
def test_the_axis_ends_at_a_round_number(largest: float, top: str) -> None:
    bars, texts = drawn(bar_chart("t", "s", "unit", [Bar("a", largest)]))
    assert top in texts
    assert bars[0] <= WIDTH_PX + 0.05


def test_names_with_markup_in_them_are_shown_as_they_are() -> None:
    _, texts = drawn(bar_chart("a<b", "x & y", "unit", [Bar("<conv>", 1.0)]))
    assert {"a<b", "x & y", "<conv>"} <= set(texts)


def test_more_bars_than_fit_are_counted() -> None:
    bars, texts = drawn(bar_chart("t", "s", "unit", [Bar(str(i), 1.0) for i in range(70)], most=60))
    assert len(bars) == 60
    assert "unit; 10 more" in texts


def test_a_chart_without_bars_is_still_a_chart() -> None:
    assert drawn(bar_chart("t", "s", "unit", []))[0] == []
