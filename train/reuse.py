"""What a new run takes over from earlier runs on the same photos: whatever it would compute to the same bits.

RUN, RUN, ... ──plan_reuse: which stage from whom, and why not──▶ take_over ──▶ NEW/, NEW/reused.json

A stage is taken when it is finished there and every setting that it depends on is equal. The big files of
attention become hard links where the file system can: nobody writes into them any more (attention_store.py).
Bits are those of the machine and the number of threads that RUN had.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_runtime.errors import TrainingError, UsageError
from train.attention_store import TO_DO, about_photos
from train.checkpoint import write_bytes, write_text
from train.config import read_run_config
from train.data.photolist import what_changed
from train.data.quarantine import read_quarantine
from train.harvest import PROPOSALS
from train.prototypes import FILE as PROTOTYPES
from train.settings import flatten, read_changes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from train.config import TrainConfig
    from train.data.types import Dataset, Image
    from train.shared import Run

FILE = "reused.json"
ATTENTION, CLASSIFIER, SCORED = STAGES = ("attention", "classifier", "proposals")
RANDOM = "none"  # as a weights file: weights are drawn, with the run's seed
LINKED = ("attention.f16", "features.f16")
CLASSIFIER_FILE = "classifier.safetensors"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Plan:
    """`taken`: the run that gives a stage, by stage. `anew`: why a stage is computed, by stage."""

    taken: Mapping[str, Path] = field(default_factory=dict)
    anew: Mapping[str, str] = field(default_factory=dict)


def plan_reuse(
    runs: Sequence[Path], out: Path, config: TrainConfig, dataset: Dataset, manifest: str | None = None
) -> Plan:
    """Find for each stage the first of `runs` that gives it. Writes nothing.

    Args:
        out, config, dataset, manifest: of the new run; `config` resolved.

    Raises:
        UsageError: one of `runs` is `out`, holds no run of DiPS, or one on other photos.
    """
    photos = [*dataset.splits["train"], *dataset.splits["val"]]
    donors: dict[Path, Mapping[str, Any]] = {}
    for run in runs:
        if run.resolve() == out.resolve():
            raise UsageError(f"--reuse {run}: that is --out itself; go on with a run by --resume")
        donors[run] = _settings_of(run)
        _check_photos(run, photos, dataset, manifest)
    taken: dict[str, Path] = {}
    anew: dict[str, str] = {}
    for stage in STAGES:
        for run, settings in donors.items():
            why = _why_not(stage, run, settings, flatten(config), photos)
            if not why:
                taken[stage] = run
                break
            anew.setdefault(stage, why)
    return Plan(taken, {stage: why for stage, why in anew.items() if stage not in taken})


def take_over(plan: Plan, run: Run[TrainConfig]) -> None:
    """Put the files of the plan into the new run's folder; each is there whole or not at all.

    Raises:
        TrainingError: no space on the disk.
    """
    done: dict[str, str] = {}
    for stage, source in plan.taken.items():
        _quarantined(stage, source, run)
        try:
            _FILES[stage](source, run.out)
        except OSError as error:
            raise TrainingError(
                f"{run.out}: {stage} of {source} cannot be copied ({error.strerror or error}); make room and "
                "--resume"
            ) from error
        done[stage] = str(source.resolve())
        write_text(run.out / FILE, json.dumps(done))
    parts = [f"{stage} from {source}" for stage, source in plan.taken.items()]
    parts += [f"{stage} anew ({why})" for stage, why in plan.anew.items()]
    _log.info("reuse: %s", "; ".join(parts))


def reused(out: Path) -> dict[str, str]:
    """Where the stages of a run come from that it has not computed itself, by stage."""
    try:
        found: dict[str, str] = json.loads((out / FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found


def _settings_of(run: Path) -> Mapping[str, Any]:
    path = run / "config.toml"
    method = read_changes(path).get("method") if path.is_file() else None
    if method is not None:
        raise UsageError(f"--reuse {run}: a run of the baseline {method}; expected one of DiPS")
    try:
        return flatten(read_run_config(run))
    except UsageError as error:
        raise UsageError(f"--reuse: {error}") from error


def _check_photos(run: Path, photos: Sequence[Image], dataset: Dataset, manifest: str | None) -> None:
    """By names, classes and order; by their bytes where both runs know a manifest."""
    about = _read_json(run / "attention.json")
    now = about_photos(photos)
    if about and {key: about.get(key) for key in now} != now:
        changed = what_changed(run, photos)
        said = f": {changed}" if changed else ""
        raise UsageError(f"--reuse {run}: trained on other photos than {dataset.root} holds now{said}")
    then = _read_json(run / "metrics.json").get("manifest")
    if manifest is not None and then not in (None, manifest):
        raise UsageError(
            f"--reuse {run}: the manifest of {dataset.root} is another than that run began with; "
            "a photo may have changed"
        )


def _why_not(
    stage: str, run: Path, then: Mapping[str, Any], now: Mapping[str, Any], photos: Sequence[Image]
) -> str:
    """Why `run` cannot give a stage; empty when it can."""
    differing = [key for key in _depends_on(stage, now) if then[key] != now[key]]
    if differing:
        said = ", ".join(f"{key} is {then[key]!r} there, {now[key]!r} here" for key in differing[:2])
        return said + (", ..." if len(differing) > 2 else "")
    known = bool(_read_json(run / "attention.json"))  # else nobody can tell which photos it had
    return "" if known and _FINISHED[stage](run, photos) else f"not finished in {run}"


def _depends_on(stage: str, settings: Mapping[str, Any]) -> list[str]:
    """Settings that decide the bits of a stage, besides the photos."""
    attention = ["negative_class", "classifier.kind", *(key for key in settings if key.startswith("sst."))]
    if settings["sst.weights"] == RANDOM:
        attention.append("seed")
    if stage == ATTENTION:
        return attention
    keys = ["negative_class", "seed", *(key for key in settings if key.startswith("classifier."))]
    if settings["classifier.encoder"] in ("", settings["localizer.encoder"]):
        keys += ["localizer.encoder", "localizer.encoder_weights"]
    if settings["classifier.kind"] == "linear":
        keys += attention
    if stage == SCORED:
        keys += [*attention, *(key for key in settings if key.startswith("proposals."))]
    return list(dict.fromkeys(keys))


def _attention_finished(run: Path, photos: Sequence[Image]) -> bool:
    about = _read_json(run / "attention.json")
    try:
        shape, features = [int(v) for v in about["shape"]], int(about["features"])
        sizes = (2 * int(np.prod(shape)), 2 * shape[0] * features)
        done = np.fromfile(run / "attention.done", np.uint8)
        whole = [(run / name).stat().st_size for name in LINKED] == list(sizes)
    except (OSError, KeyError, TypeError, ValueError, IndexError):
        return False
    return whole and len(done) == len(photos) == shape[0] and bool((done != TO_DO).all())


def _classifier_finished(run: Path, _photos: Sequence[Image]) -> bool:
    return (run / CLASSIFIER_FILE).is_file()


def _proposals_finished(run: Path, photos: Sequence[Image]) -> bool:
    """Read here and not by `read_proposals`, which cuts a half-written line off: that run may be at work."""
    try:
        lines = (run / PROPOSALS).read_text(encoding="utf-8").splitlines()
        ids = [json.loads(line)["id"] for line in lines]
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return ids == list(dict.fromkeys(image.image_id for image in photos))


def _take_attention(source: Path, out: Path) -> None:
    for name in ("attention.json", "photos.txt"):
        if (source / name).exists():
            write_bytes(out / name, (source / name).read_bytes())
    if (source / PROTOTYPES).exists():
        _link(source / PROTOTYPES, out / PROTOTYPES)  # only ever replaced whole
    for name in LINKED:
        _link(source / name, out / name)
    write_bytes(out / "attention.done", (source / "attention.done").read_bytes())  # last: now it counts


def _take_classifier(source: Path, out: Path) -> None:
    _link(source / CLASSIFIER_FILE, out / CLASSIFIER_FILE)  # only ever replaced whole


def _take_proposals(source: Path, out: Path) -> None:
    write_bytes(out / PROPOSALS, (source / PROPOSALS).read_bytes())  # a copy: lines are added in place


def _link(source: Path, target: Path) -> None:
    part = target.with_name(target.name + ".part")
    part.unlink(missing_ok=True)
    try:
        os.link(source, part)
    except OSError:  # another disk, or a file system without links
        shutil.copyfile(source, part)
    part.replace(target)


def _quarantined(stage: str, source: Path, run: Run[TrainConfig]) -> None:
    """A stage that is taken does not meet its bad photos again: list them as it did."""
    run.quarantine.stage = stage
    for entry in read_quarantine(source / "quarantine.jsonl").values():
        if entry["stage"] == stage:
            run.quarantine.add(entry["id"], entry["reason"])


def _read_json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


_FINISHED = {ATTENTION: _attention_finished, CLASSIFIER: _classifier_finished, SCORED: _proposals_finished}
_FILES = {ATTENTION: _take_attention, CLASSIFIER: _take_classifier, SCORED: _take_proposals}
