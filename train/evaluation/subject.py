"""What can be evaluated, behind one face: a checkpoint of a run directory, or a model file.

RUN | MODEL.onnx ──open_subject──▶ Subject(classes, thresholds, predict)
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from edge_runtime.errors import DatasetError, ModelError, UsageError
from train.baselines.methods import DIPS
from train.evaluation.evaluate import WITHOUT_BOXES, Thresholds
from train.evaluation.presence import calibration_of
from train.evaluation.split_scores import PresenceRule
from train.selection import LAST

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from train.data.types import Dataset, Image
    from train.evaluation.evaluate import Prediction

CONFIG, METRICS = "config.toml", "metrics.json"


@dataclass(frozen=True)
class Subject:
    """A trained network with the thresholds that go with it.

    `predict(photos, workers)` gives (photo, map, class probabilities). `origin` says where it comes from:
    checkpoint or precision, what selected it, run id, what runs it. `presence`: what the presence threshold
    applies to.
    """

    name: str
    classes: tuple[str, ...]
    negative_class: str | None
    thresholds: Thresholds
    predict: Callable[[Sequence[Image], int], Iterator[Prediction]]
    presence: PresenceRule = PresenceRule.MAP
    origin: dict[str, Any] = field(default_factory=dict)

    @property
    def negative(self) -> int | None:
        """Index of the negative class among `classes`."""
        return None if self.negative_class is None else self.classes.index(self.negative_class)

    def relabel(self, dataset: Dataset, split: str) -> tuple[Image, ...]:
        """`relabelled` for this network."""
        return relabelled(dataset, split, self.classes, self.name)


def relabelled(dataset: Dataset, split: str, classes: Sequence[str], name: str) -> tuple[Image, ...]:
    """The photos of a split with labels that count in `classes`, those of the network called `name`.

    Raises:
        DatasetError: the split is empty, or has a class the network does not know.
    """
    images = dataset.splits[split]
    if not images:
        raise DatasetError(f"{dataset.root}: no photo in {split}; choose another --split")
    unknown = sorted({dataset.classes[i.label] for i in images} - set(classes))
    if unknown:
        raise DatasetError(
            f"{dataset.root}: class {unknown[0]!r} of {split} is unknown to {name}, which knows "
            f"{', '.join(classes)}"
        )
    return tuple(dataclasses.replace(i, label=list(classes).index(dataset.classes[i.label])) for i in images)


def open_subject(path: Path, checkpoint: str, device: str = "cpu") -> Subject:
    """A run directory (has config.toml), a model file or a directory of model files.

    Args:
        checkpoint: "best" or "last"; of no meaning for a model file.
        device: what runs a model file, see `edge_runtime.backends.open_backend`; a run is torch on the CPU.

    Raises:
        ModelError: missing, unfinished, damaged or not ours.
        EngineError, MissingExtra: the device cannot run it. UsageError: another device than "cpu" for a run.
    """
    if not (path / CONFIG).is_file():
        return open_model_file(path, device)
    if device != "cpu":
        raise UsageError(
            f"--device {device} runs model files, {path} is a run directory; export it first: "
            f"dips-edge export {path}"
        )
    return open_run(path, checkpoint)


def open_run(run_dir: Path, checkpoint: str) -> Subject:
    """A checkpoint of a finished run, with its own thresholds."""
    metrics = read_metrics(run_dir)
    predict, presence = _open_network(run_dir, checkpoint, metrics)
    try:
        part = metrics[checkpoint]
        return Subject(
            name=str(run_dir),
            classes=tuple(metrics["classes"]),
            negative_class=metrics["negative_class"],
            thresholds=Thresholds(
                float(part["tau"]),
                float(part["decision_threshold"]),
                float(part["presence_threshold"]),
                calibration_of(part),
            ),
            predict=predict,
            presence=presence,
            origin={
                "checkpoint": checkpoint,
                "method": metrics.get("method", DIPS),
                "selection": metrics["selection"] if checkpoint == "best" else LAST.words,
                "run_id": metrics["run_id"],
            },
        )
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(run_dir / METRICS, error) from error


def _open_network(
    run_dir: Path, checkpoint: str, metrics: Mapping[str, Any]
) -> tuple[Callable[[Sequence[Image], int], Iterator[Prediction]], PresenceRule]:
    """How the network of a run predicts, and what says there that something is in view."""
    if metrics.get("method", DIPS) != DIPS:
        from train.baselines.explain import load_baseline, predict_baseline

        baseline = load_baseline(run_dir, checkpoint)
        return (
            lambda images, workers: predict_baseline(baseline, images, workers=workers)
        ), PresenceRule.CLASS
    from train.evaluation.predict import predict_run
    from train.localizer import load_localizer

    model = load_localizer(run_dir, checkpoint)
    try:
        height, width = metrics["input_size"]
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(run_dir / METRICS, error) from error
    return (
        lambda images, workers: predict_run(model, images, (height, width), workers=workers)
    ), PresenceRule.MAP


def open_model_file(path: Path, device: str = "cpu") -> Subject:
    """A model file; the protocol's threshold comes with the val figures in its contract."""
    from edge_runtime.backends import open_backend
    from train.evaluation.predict import predict_model_file

    backend = open_backend(path, device)
    contract, file, runs_on = backend.contract, backend.path, backend.name
    backend.close()
    tau = contract.metrics.get("val", {}).get("tau", WITHOUT_BOXES)
    return Subject(
        name=str(file),
        classes=contract.classes,
        negative_class=contract.negative_class,
        thresholds=Thresholds(
            float(tau),
            contract.decision_threshold,
            contract.presence_threshold,
            contract.presence_calibration,
        ),
        predict=lambda images, workers: predict_model_file(file, images, workers=workers, device=device),
        origin={
            "checkpoint": contract.metrics.get("checkpoint"),
            "selection": contract.metrics.get("selection"),
            "run_id": contract.run_id,
            "precision": contract.precision,
            "backend": runs_on,
        },
    )


def read_metrics(run_dir: Path) -> dict[str, Any]:
    """RUN/metrics.json.

    Raises:
        ModelError: missing (the run is not finished) or damaged.
    """
    path = run_dir / METRICS
    try:
        metrics = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ModelError(
            f"{path}: not there, the run is not finished; "
            f"go on with `dips-edge train DATA --out {run_dir} --resume`"
        ) from error
    except (OSError, ValueError) as error:
        raise _damaged(path, error) from error
    if not isinstance(metrics, dict):
        raise _damaged(path, TypeError("not a JSON object"))
    return metrics


def _damaged(path: Path, error: Exception) -> ModelError:
    return ModelError(
        f"{path}: damaged or from another version ({type(error).__name__}: {error}); train the run again"
    )
