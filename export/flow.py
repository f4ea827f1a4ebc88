"""What `dips-edge export` does: the fp32 file first, then the precision asked for, judged on val."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from calibration.data import FEWEST, read_material
from calibration.fitting import Int8Settings
from edge_runtime.backends.onnx_cpu import OnnxCpu
from edge_runtime.errors import ModelError, UsageError
from edge_runtime.place import staged
from export.board import BoardBuilder
from export.fp32 import make_fp32, write_fp32
from export.frames import comparison_photos
from export.gate import judge
from export.precisions import fp16_candidate, fp32_candidate, int8_candidates
from export.rundir import read_run
from export.table import row_json, table
from export.valset import load_valset

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from export.fp32 import Fp32
    from export.parity import Parity
    from export.precisions import Candidate
    from export.rundir import RunFacts
    from export.settings import Settings
    from export.valset import ValSet

log = logging.getLogger(__name__)

PARITY_FRAMES = 8


def export_run(settings: Settings) -> dict[str, Any]:
    """Write the files of one precision.

    Returns:
        JSON-able: paths by target, precision, and how they compare (`parity` for fp32, `rows` for others).

    Raises:
        ModelError: the run is incomplete, the graph cannot be converted, a file failed its gate or cannot
            be written. UsageError: a size or file that cannot be; no photos to judge on. EngineError: an
            engine was asked for and this machine cannot build it.
    """
    if settings.out.exists() and not settings.out.is_dir():
        raise UsageError(f"--out {settings.out}: is a file; expected a directory for model files")
    for path in settings.files.values():
        if path.exists() and not settings.force:
            raise UsageError(f"{path} exists; pass --force to replace it, or another --out")
    facts = read_run(settings.run, settings.checkpoint)
    builder = BoardBuilder.of(settings) if settings.engine else None
    if settings.input_hw is not None and settings.input_hw != facts.input_hw:
        sizes = (*facts.input_hw, *settings.input_hw)
        log.warning("%s: thresholds and metrics were measured at %dx%d, not at %dx%d", settings.run, *sizes)
    done = (_export_fp32 if settings.precision == "fp32" else _export_lower)(settings, facts)
    if builder is not None:
        done["engine"] = str(builder.build(settings.files))
    return done


def _export_fp32(settings: Settings, facts: RunFacts) -> dict[str, Any]:
    photos = comparison_photos(settings.frames, facts.data)
    made = _make(settings)
    (path,) = settings.files.values()
    parity = write_fp32(path, made, photos)
    _tell(path, parity)
    return {"models": {"any": str(path)}, "precision": "fp32", "parity": dataclasses.asdict(parity)}


def _export_lower(settings: Settings, facts: RunFacts) -> dict[str, Any]:
    val = load_valset(settings.frames, facts, settings.input_hw or facts.input_hw)
    made = _make(settings)
    _ensure_fp32(settings, made, val)
    fp32 = fp32_candidate(made.data, val)
    calibration = {}
    if settings.precision == "fp16":
        candidates: tuple[Candidate, ...] = (fp16_candidate(fp32, val),)
    else:
        frames = _calibration_frames(settings, facts, fp32)
        how = Int8Settings(method=settings.method, seed=settings.seed)
        candidates, ranges = int8_candidates(fp32, frames, val, how, settings.max_drop)
        calibration = {settings.path("calibration").with_suffix(".json"): ranges.to_json().encode()}
    rows = [c.measured for c in (fp32, *candidates)]
    log.info("%d photos of %s:\n%s", len(val.frames), val.name, table(rows))
    _refuse_what_fails(settings, fp32, candidates)
    models = {settings.files[c.contract.target]: c.data for c in candidates}
    with staged({**models, **calibration}) as parts:
        for path in models:
            OnnxCpu(parts[path]).close()
    return {
        "models": {target: str(path) for target, path in settings.files.items()},
        "precision": settings.precision,
        "rows": [row_json(row) for row in rows],
    }


def _calibration_frames(settings: Settings, facts: RunFacts, fp32: Candidate) -> Sequence[NDArray[np.uint8]]:
    """The most diverse photos of --calib, or of the run's own train split."""
    data = settings.calib or (settings.frames if facts.data is None else facts.data)
    if data is None or (settings.calib is None and not Path(data).exists()):
        raise UsageError(
            f"the photos this run was trained on are not at {data}; name photos to calibrate on with --calib"
        )
    found = read_material(
        data, fp32.contract, count=settings.calib_frames, val_count=FEWEST, seed=settings.seed
    )
    return found.calibration


def _make(settings: Settings) -> Fp32:
    return make_fp32(
        settings.run, checkpoint=settings.checkpoint, input_hw=settings.input_hw, batch=settings.batch
    )


def _ensure_fp32(settings: Settings, made: Fp32, val: ValSet) -> None:
    """The source of every other file lies beside it, and is that of this very export."""
    path = settings.path("fp32")
    if path.exists() and not settings.force and path.read_bytes() != made.data:
        raise UsageError(
            f"{path} exists and comes from another training, checkpoint, size or version; "
            "pass --force to replace it, or another --out"
        )
    if not path.exists() or settings.force:
        _tell(path, write_fp32(path, made, val.frames[:PARITY_FRAMES]))


def _refuse_what_fails(settings: Settings, fp32: Candidate, candidates: tuple[Candidate, ...]) -> None:
    for candidate in candidates:
        reasons = judge(fp32.measured, candidate.measured, settings.max_drop)
        if reasons:
            name = settings.files[candidate.contract.target].name
            raise ModelError(
                f"{name} is refused: {'; '.join(reasons)}. No {settings.precision} file was written; fly "
                "another precision, or allow more with --max-drop"
            )


def _tell(path: Path, parity: Parity) -> None:
    log.info(
        "%s: %.1f MB, %d frames agree with the trained network (map within %.1e, class within %.1e)",
        path,
        path.stat().st_size / 1e6,
        parity.frames,
        parity.map_max,
        parity.class_max,
    )
