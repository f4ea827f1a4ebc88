"""What a report comes to, in one sentence, a few numbers, and what speaks against them."""

from __future__ import annotations

from typing import Any, NamedTuple

from edge_runtime.profiling import breakdown, words
from edge_runtime.profiling.words import ms, percent, plain

LATE = 0.01  # share of missed deadlines from which the p99 is too late
MANY = 1000  # frames from which a p99 is more than the worst few


class Tile(NamedTuple):
    """One number; `state` is good, warn, bad or "" where it is neither."""

    label: str
    value: str
    unit: str = ""
    note: str = ""
    state: str = ""


class Verdict(NamedTuple):
    """`state`: good, warn or bad; `word` says it in a word."""

    state: str
    word: str
    sentence: str
    tiles: tuple[Tile, ...]
    remarks: tuple[str, ...]


def verdict(report: dict[str, Any]) -> Verdict:
    """Of the whole pipeline if it was measured, else of the engine."""
    name = "pipeline" if report["pipeline"] else "engine"
    mode, deadline_ms = report[name], report["settings"]["deadline_ms"]
    if mode is None:
        return Verdict("bad", "Nothing measured.", "No frame was measured in any mode.", (), ())
    state, word = _state(mode["missed"]["share"], mode["frames"])
    sentence = words.missed(mode, deadline_ms)
    return Verdict(
        state,
        word,
        sentence[0].upper() + sentence[1:] + ".",
        tuple(_tiles(report, name, state)),
        tuple(_remarks(report, name)),
    )


def _state(missed: float, frames: int) -> tuple[str, str]:
    if missed == 0:
        return ("good", "In time.") if _most_missed(frames) <= LATE else ("warn", "In time so far.")
    return ("warn", "Mostly in time.") if missed <= LATE else ("bad", "Too late.")


def _most_missed(frames: int) -> float:
    """Share of missed deadlines that so many frames without one cannot rule out: the rule of three, 95 %."""
    return min(1.0, 3 / frames)


def _tiles(report: dict[str, Any], name: str, state: str) -> list[Tile]:
    mode = report[name]
    stage, what = mode["stages"][mode["total"]], plain(mode["total"], 20)
    part = breakdown.largest_part(mode)
    tail = "p99" if stage["p99_ms"] is not None else "max"
    tiles = [
        Tile(f"{what}, p50", ms(stage["p50_ms"]), "ms"),
        Tile(f"{what}, {tail}", ms(stage[f"{tail}_ms"]), "ms"),
        Tile(
            "deadline missed",
            percent(mode["missed"]["share"]),
            "",
            words.some(mode["missed"]["count"], "frame"),
            state,
        ),
        Tile("frame rate", f"{mode['fps']:.1f}", "fps", _busiest(report, name)),
    ]
    if len(mode["stages"]) > 1:
        tiles.append(
            Tile(f"most of {what}", plain(part.name, 30), "", f"{ms(part.mean_ms)} ms, {percent(part.share)}")
        )
    board = report["board"]
    if board:
        zones = {zone: each for zone, each in board["summary"]["temps_c"].items() if each}
        if zones:
            hottest = max(zones, key=lambda zone: zones[zone]["max"])
            hot = words.throttling(board)
            note = hot or words.NO_THROTTLING[board["summary"]["throttled_s"] is not None]
            tiles.append(
                Tile(
                    f"hottest, {plain(hottest, 20)}",
                    f"{zones[hottest]['max']:.1f}",
                    "°C",
                    note,
                    "warn" if hot else "",
                )
            )
    if report["energy"]:
        energy = report["energy"]
        note = f"{energy['mean_w']:.3g} W on {plain(energy['rail'], 30)}"
        tiles.append(Tile("energy per frame", f"{energy['mj_per_frame']:.4g}", "mJ", note))
    return tiles


def _busiest(report: dict[str, Any], name: str) -> str:
    busiest = breakdown.busiest_thread(report[name])
    if name == "engine" or busiest is None:
        return ""
    return f"{plain(busiest[0], 30)} thread busy {percent(busiest[1])}"


def _remarks(report: dict[str, Any], name: str) -> list[str]:
    mode, found = report[name], []
    if name == "pipeline":
        found.append(f"Frame rate limited by {breakdown.bound_by(report, name)}.")
    else:
        found.append("The network alone was measured: capture, boxes, track and record come on top.")
    if not mode["missed"]["count"]:
        frames, most = words.some(mode["frames"], "frame"), percent(_most_missed(mode["frames"]))
        found.append(
            f"None missed in {frames}: a share of up to {most} cannot be ruled out "
            "(95 %, frames taken as independent)."
        )
    if mode["frames"] < MANY:
        frames = words.some(mode["frames"], "frame")
        found.append(f"{frames} only: p99 is one of the worst handful. Measure {MANY} or more.")
    if report["machine"]["clocks_fixed"] is False:
        found.append("Clocks were not fixed: they follow the load, and the times follow them.")
    if report["board"] and words.throttling(report["board"]):
        found.append(f"The board was held back: {words.throttling(report['board'])}.")
    if report["source"]["name"].startswith("synthetic"):
        found.append("The frames were synthetic: a camera adds its own delay before a picture is there.")
    return found
