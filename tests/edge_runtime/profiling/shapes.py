"""Reports of every shape that the outputs must bear: smallest, largest, hostile, with parts missing."""

from __future__ import annotations

import copy
import functools
from typing import TYPE_CHECKING, Any

from tests.edge_runtime.profiling.samples import profile, sensors

if TYPE_CHECKING:
    from collections.abc import Callable

NASTY = "\x1b[31m<script>alert(1)</script>\"'&\u202e\x00\r\n" + "é" * 50


@functools.lru_cache(maxsize=None)
def shaped(name: str) -> dict[str, Any]:
    """The report of a name of `SHAPES`; not to be changed."""
    return SHAPES[name]()


def whole() -> dict[str, Any]:
    """Nothing special."""
    return profile(frames=300)


def shorter(report: dict[str, Any]) -> dict[str, Any]:
    """As few frames give it: high percentiles unknown."""
    report = copy.deepcopy(report)
    for mode in (report["engine"], report["pipeline"]):
        for stage in mode["stages"].values():
            stage.update(p90_ms=None, p95_ms=None, p99_ms=None, p99_9_ms=None, jitter_ms=None)
    return report


def with_parts(report: dict[str, Any]) -> dict[str, Any]:
    """Inference taken apart."""
    report = copy.deepcopy(report)
    stages: dict[str, Any] = {}
    for name, stage in report["pipeline"]["stages"].items():
        stages[name] = stage
        if name == "infer":
            for part, share in (("h2d", 0.05), ("compute", 0.9), ("d2h", 0.05)):
                scaled = {key: share * value for key, value in stage.items() if isinstance(value, float)}
                stages[part] = {**stage, **scaled, "inside": "infer"}
    report["pipeline"]["stages"] = stages
    return report


def late(report: dict[str, Any]) -> dict[str, Any]:
    """A deadline that nothing keeps."""
    report = copy.deepcopy(report)
    report["settings"]["deadline_ms"] = 0.5
    for mode in (report["engine"], report["pipeline"]):
        mode["missed"] = {"count": mode["frames"], "share": 1.0}
        for window in mode["timeline"]:
            window["missed"] = window["n"]
    return report


def bursts(report: dict[str, Any]) -> dict[str, Any]:
    """Two stretches a hundred times as long as the rest, and a deadline out of reach."""
    report = copy.deepcopy(report)
    report["settings"]["deadline_ms"] = 5000.0
    for window in report["pipeline"]["timeline"][10:12]:
        window.update(p99_ms=1500.0, max_ms=1600.0)
    histogram = report["pipeline"]["histogram"]
    histogram["edges_ms"].append(1600.0)
    histogram["counts"].append(2)
    return report


def dumb(report: dict[str, Any]) -> dict[str, Any]:
    """A board whose sensors give nothing."""
    report = copy.deepcopy(report)
    silent = {"rails_w": {}, "temps_c": {}, "gpu_mhz": None, "gpu_load": None, "emc_mhz": None, "cpu_mhz": []}
    more = {"cooling": {}, "oc_events": None, "rss_bytes": None, "available_bytes": None}
    report["board"]["samples"] = [{"t_s": float(t), **silent, **more} for t in range(3)]
    keys = ("power_w", "gpu_mhz", "cpu_mhz", "emc_mhz", "rss_bytes", "oc_events", "throttled_s")
    report["board"]["summary"] = {"temps_c": {"gpu": None}, **dict.fromkeys(keys)}
    return report


def largest() -> dict[str, Any]:
    """300 windows, 600 samples of 12 zones and 6 rails, 400 layers with names as long as fused ones are."""
    report = with_parts(profile(frames=6000))
    report["board"] = sensors(600)
    for sample in report["board"]["samples"]:
        sample["temps_c"] = {f"zone-{n}-thermal": 40 + n + sample["t_s"] / 37.3 for n in range(12)}
        sample["rails_w"] = {f"VDD_{n}": 1.234567 * n + sample["t_s"] / 977 for n in range(6)}
        sample["cooling"] = {"fan": 1} if int(sample["t_s"]) % 2 else {}
    share = 1 / 400
    report["layers"]["layers"] = [
        {
            "name": f"/encoder/{n}/" + "PWN(Conv + Relu) + " * 40,
            "kind": "CaskConvolution",
            "mean_ms": 0.1,
            "share": share,
        }
        for n in range(400)
    ]
    return report


def hostile() -> dict[str, Any]:
    """Every string that may come from outside tries to break out."""
    report = with_parts(profile(frames=300))
    report["partial"] = NASTY
    for part in ("machine", "model", "source"):
        for key, value in report[part].items():
            if isinstance(value, str) and not key.endswith("sha256"):
                report[part][key] = NASTY
    report["machine"]["packages"] = {NASTY: NASTY}
    report["model"]["engine_sha256"] = NASTY
    report["software"]["version"] = report["t_utc"] = NASTY
    stages = report["pipeline"]["stages"]
    stages[NASTY] = {**stages["pre"], "thread": NASTY, "inside": NASTY}
    stages[NASTY + "2"] = {**stages["pre"], "thread": NASTY, "inside": "infer"}
    report["pipeline"]["stages"] = {NASTY + "3": {**stages["pre"], "thread": NASTY}, **stages}
    stages = report["engine"]["stages"]
    report["engine"].update(stages={NASTY: stages["total"]}, total=NASTY)
    report["layers"]["by"] = NASTY
    for each in (*report["layers"]["layers"], *report["layers"]["kinds"]):
        each["kind"] = NASTY
        if "name" in each:
            each["name"] = NASTY
    board = report["board"]
    for sample in board["samples"]:
        sample.update(temps_c={NASTY: 50.0}, rails_w={NASTY: 5.0}, cooling={NASTY: 1})
    board["summary"]["temps_c"] = {NASTY: board["summary"]["temps_c"]["cpu"]}
    board["notes"] = [NASTY]
    report["energy"]["rail"] = NASTY
    return report


SHAPES: dict[str, Callable[[], dict[str, Any]]] = {
    "whole": whole,
    "without a board": lambda: profile(frames=300, board=False),
    "one frame": lambda: shorter(profile(frames=1)),
    "engine only": lambda: {**whole(), "pipeline": None, "layers": None},
    "pipeline only": lambda: {**whole(), "engine": None},
    "nothing measured": lambda: {**whole(), "engine": None, "pipeline": None, "partial": "no frame came"},
    "with parts": lambda: with_parts(whole()),
    "every deadline missed": lambda: late(whole()),
    "bursts": lambda: bursts(whole()),
    "sensors that say nothing": lambda: dumb(whole()),
    "largest": largest,
    "hostile": hostile,
}
