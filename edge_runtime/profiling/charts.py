"""The charts of a report's page: distribution, timeline, shares, layers, the board over time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edge_runtime.profiling.breakdown import OTHER
from edge_runtime.profiling.plots import HEIGHT, WIDTH, Axis, Mark, axis, band, box, curve, esc, plot
from edge_runtime.profiling.words import is_fan, ms, percent, some

if TYPE_CHECKING:
    from collections.abc import Sequence

MOST_LAYERS = 25
MOST_CURVES = 8
COLOURS = 8  # classes c0 to c7 of the style sheet
FAR = 1.6  # a deadline further out than so many times the rest is only told, not drawn


def histogram(mode: dict[str, Any], deadline_ms: float) -> str:
    """How often the judged stage took how long; what is beyond the deadline in red."""
    edges, counts = mode["histogram"]["edges_ms"], mode["histogram"]["counts"]
    if not counts:
        return ""
    notes = []
    width = edges[1] - edges[0]
    tail = len(counts) > 1 and edges[-1] - edges[-2] > 3 * width
    if tail:
        notes.append(f"{counts[-1]} longer than {ms(edges[-2])} ms, up to {ms(edges[-1])} ms, not drawn.")
        edges, counts = edges[:-1], counts[:-1]
    near = deadline_ms <= FAR * edges[-1]
    if not near:
        notes.append(f"The deadline of {deadline_ms:.4g} ms lies far to the right.")
    spread = [edges[0], edges[-1], *([deadline_ms] if near else [])]
    x, y = axis(spread, zero=False), axis([0, 1.25 * max(counts)], zero=True)
    bars = []
    for low, high, count in zip(edges, edges[1:], counts):  # Python 3.8
        if count:
            top = min(HEIGHT * (1 - y.share(count)), HEIGHT - 2.0)
            late = "late" if low >= deadline_ms else "bar"
            title = f"{ms(low)} to {ms(high)} ms: {count}"
            bars.append(box(WIDTH * x.share(low), WIDTH * x.share(high) - 1, top, HEIGHT - top, late, title))
    stage = mode["stages"][mode["total"]]
    marks = [
        Mark(stage[f"{name}_ms"], f"{name} {ms(stage[f'{name}_ms'])}", "median", True, row)
        for row, name in enumerate(("p50", "p99"))
        if stage[f"{name}_ms"] is not None
    ]
    if near:
        marks.append(Mark(deadline_ms, f"deadline {deadline_ms:.4g} ms", "deadline", True, 2))
    return plot(
        f"Histogram of {mode['total']}", bars, x, y, x_unit="ms", y_unit="frames", marks=marks,
        note=" ".join(notes),
    )  # fmt: skip


def timeline(mode: dict[str, Any], deadline_ms: float) -> str:
    """p50, p99 and maximum of the judged stage while time goes by, and when deadlines were missed."""
    windows = [window for window in mode["timeline"] if window["p50_ms"] is not None]
    if not windows:
        return ""
    highest = max(window["max_ms"] or 0.0 for window in windows)
    p99s = sorted(window["p99_ms"] or 0.0 for window in windows)
    usual = max(1.5 * p99s[int(0.95 * (len(p99s) - 1))], 1e-3)
    top = min(highest, 2 * usual)
    notes = []
    if highest > top:
        above = sum((window["max_ms"] or 0.0) > top for window in windows)
        notes.append(f"Above the chart: {some(above, 'window')}, up to {ms(highest)} ms.")
    near = deadline_ms <= FAR * top
    if not near:
        notes.append(f"The deadline of {deadline_ms:.4g} ms lies far above.")
    y = axis([0, top, *([deadline_ms] if near else [])], zero=True)
    step_s = max((windows[-1]["t_s"] - windows[0]["t_s"]) / max(1, len(windows) - 1), 1e-6)
    x = Axis(min(0.0, windows[0]["t_s"] - step_s / 2), windows[-1]["t_s"] + step_s / 2)
    tails = [w for w in windows if w["p99_ms"] is not None]
    body = [
        band([(w["t_s"], w["p50_ms"], w["p99_ms"]) for w in tails], x, y, "between"),
        curve([(w["t_s"], w["max_ms"]) for w in windows if w["max_ms"] is not None], x, y, "line most"),
        curve([(w["t_s"], w["p99_ms"]) for w in tails], x, y, "line tail"),
        curve([(w["t_s"], w["p50_ms"]) for w in windows], x, y, "line middle"),
    ]
    for window in windows:
        middle, half = WIDTH * x.share(window["t_s"]), WIDTH * step_s / (x.high - x.low) / 2
        said = f"{window['t_s']:.1f} s: p50 {ms(window['p50_ms'])}, p99 {ms(window['p99_ms'])}, max "
        said += f"{ms(window['max_ms'])} ms; {window['missed']} of {window['n']} missed"
        if window["missed"]:
            body.append(box(middle - half, middle + half, 0, 7, "late"))
        body.append(box(middle - half, middle + half, 0, HEIGHT, "touch", said))
    legend = [("middle", "p50"), ("tail", "p99"), ("most", "max")]
    if mode["missed"]["count"]:
        legend.append(("late", "deadline missed"))
    return plot(
        f"{mode['total']} over time", body, x, y, x_unit="s", y_unit="ms",
        marks=[Mark(deadline_ms, f"deadline {deadline_ms:.4g} ms", "deadline", False)] if near else [],
        legend=legend, note=" ".join(notes),
    )  # fmt: skip


def shares(parts: Sequence[tuple[str, float, float, str]]) -> str:
    """Pieces of one bar and what they are: (name, ms, share, note)."""
    bar, keys = [], []
    for place, (name, value_ms, share, note) in enumerate(parts):
        colour = f"c{place % COLOURS}" if name != OTHER else "rest"
        bar.append(
            f'<i class="{colour}" style="flex-grow:{max(share, 1e-4):.4f}" '
            f'title="{esc(name, 80)}: {ms(value_ms)} ms, {percent(share)}"></i>'
        )
        keys.append(
            f'<li><i class="dot {colour}"></i><span class="name">{esc(name, 80)}{_quiet(note)}</span>'
            f"<b>{ms(value_ms)} ms</b><span>{percent(share)}</span></li>"
        )
    return f'<div class="stack" aria-hidden="true">{"".join(bar)}</div><ol class="keys">{"".join(keys)}</ol>'


def layer_bars(layers: Sequence[dict[str, Any]]) -> str:
    """The slowest layers, a bar each."""
    longest = max((layer["mean_ms"] for layer in layers), default=0.0) or 1.0
    rows = []
    for layer in layers[:MOST_LAYERS]:
        rows.append(
            f'<li><span class="name" title="{esc(layer["name"], 400)}">{esc(layer["name"], 120)}</span>'
            f'<span class="kind">{esc(layer["kind"], 30)}</span>'
            f'<span class="track"><i style="width:{100 * layer["mean_ms"] / longest:.1f}%"></i></span>'
            f"<b>{layer['mean_ms']:.3f} ms</b><span>{percent(layer['share'])}</span></li>"
        )
    return f'<ol class="bars">{"".join(rows)}</ol>'


def board(samples: Sequence[dict[str, Any]]) -> str:
    """Temperature, power, clocks, load and memory over time; throttled stretches shaded."""
    if len(samples) < 2:
        return ""
    temps = _tracks(samples, lambda sample: sample["temps_c"])
    power = _tracks(samples, lambda sample: sample["rails_w"])
    clocks = _tracks(samples, _clocks)
    load = _tracks(samples, lambda s: {"GPU": None if s["gpu_load"] is None else 100 * s["gpu_load"]})
    memory = _tracks(
        samples,
        lambda s: {
            "this process": None if s["rss_bytes"] is None else s["rss_bytes"] / 1e6,
            "free on the board": None if s["available_bytes"] is None else s["available_bytes"] / 1e6,
        },
    )
    found = (
        ("Temperature", "°C", temps, False),
        ("Power", "W", power, True),
        ("Clocks", "MHz", clocks, True),
        ("GPU load", "%", load, True),
        ("Memory", "MB", memory, True),
    )
    plots = [
        f"<div><h3>{title}</h3>{_over_time(title, unit, tracks, samples, zero)}</div>"
        for title, unit, tracks, zero in found
        if tracks
    ]
    return f'<div class="pair">{"".join(plots)}</div>'


def _clocks(sample: dict[str, Any]) -> dict[str, float | None]:
    cores = sample["cpu_mhz"]
    mean = sum(cores) / len(cores) if cores else None
    return {"GPU": sample["gpu_mhz"], "CPU (mean)": mean, "EMC": sample["emc_mhz"]}


def _tracks(samples: Sequence[dict[str, Any]], values_of: Any) -> dict[str, list[tuple[float, float]]]:
    """Points by name; those with the highest peaks first."""
    found: dict[str, list[tuple[float, float]]] = {}
    for sample in samples:
        for name, value in values_of(sample).items():
            if value is not None:
                found.setdefault(name, []).append((sample["t_s"], value))
    return dict(sorted(found.items(), key=lambda item: -max(value for _, value in item[1])))


def _over_time(
    title: str,
    unit: str,
    tracks: dict[str, list[tuple[float, float]]],
    samples: Sequence[dict[str, Any]],
    zero: bool,
) -> str:
    shown = list(tracks.items())[:MOST_CURVES]
    y = axis([value for _, points in shown for _, value in points], zero=zero)
    x = Axis(samples[0]["t_s"], max(samples[-1]["t_s"], samples[0]["t_s"] + 1e-6))
    hot = _throttled(samples)
    body = [
        box(WIDTH * x.share(start), WIDTH * x.share(end), 0, HEIGHT, "hot", said) for start, end, said in hot
    ]
    body += [curve(points, x, y, f"line c{place}") for place, (_, points) in enumerate(shown)]
    legend = [(f"c{place}", name) for place, (name, _) in enumerate(shown)]
    more = len(tracks) - len(shown)
    return plot(
        f"{title} over time", body, x, y, x_unit="s", y_unit=unit,
        legend=legend + ([("hot", "throttled")] if hot else []),
        note=f"{more} more that stay lower are not drawn." if more else "",
    )  # fmt: skip


def _throttled(samples: Sequence[dict[str, Any]]) -> list[tuple[float, float, str]]:
    """(start, end, why) of stretches with a cooling device at work or over-current events."""
    found: list[tuple[float, float, str]] = []
    for before, sample in zip(samples, samples[1:]):  # Python 3.8
        events = (sample["oc_events"] or 0) - (before["oc_events"] or 0)
        names = sorted(name for name, state in sample["cooling"].items() if state and not is_fan(name))
        said = ", ".join(names + ([some(events, "over-current event")] if events > 0 else []))
        if not said:
            continue
        if found and found[-1][1] == before["t_s"] and found[-1][2] == said:
            found[-1] = (found[-1][0], sample["t_s"], said)
        else:
            found.append((before["t_s"], sample["t_s"], said))
    return found


def _quiet(note: str) -> str:
    return f' <small class="quiet">{esc(note, 60)}</small>' if note else ""
