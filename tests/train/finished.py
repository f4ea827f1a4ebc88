"""A finished run on tiny photos without the training: random weights, true figures."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import torch

from train.checkpoint import save_tensors
from train.data.dataset import load_dataset
from train.evaluation.evaluate import choose_thresholds, evaluate_split, report_split, score_split
from train.evaluation.predict import predict_run
from train.evaluation.presence import KEY, fit_on_val
from train.localizer import FILES, Localizer, load_localizer
from train.settings import to_toml

from .tiny import tiny_config

if TYPE_CHECKING:
    from pathlib import Path

    from train.data.types import Dataset

SIDE = (64, 64)


def write_finished_run(run: Path, data: Path) -> Path:
    """RUN with config.toml, both checkpoints (which differ) and metrics.json, evaluated on `data`."""
    run.mkdir(parents=True)
    config = tiny_config()
    (run / "config.toml").write_text(to_toml(config))
    dataset = load_dataset(data)
    for number, name in enumerate(FILES.values()):
        torch.manual_seed(number)
        model = _settled(Localizer(config.localizer, len(dataset.classes)))
        state = {f"model.{k}": v for k, v in model.state_dict().items()}
        save_tensors(run / name, state, {"classes": len(dataset.classes)})
    parts = {which: _evaluated(run, dataset, which) for which in FILES}
    negative = dataset.negative
    metrics = {
        "run_id": "abc123",
        "classes": list(dataset.classes),
        "negative_class": None if negative is None else dataset.classes[negative],
        "input_size": list(SIDE),
        "selection": "val boxes",
        "best_epoch": 2,
        "history": [
            {
                "epoch": e,
                "cpa": 1 / e,
                "total": 2 / e,
                "lr": 1e-3,
                "val_boxes": 40.0 + e,
                "val_class_acc": 90.0,
            }
            for e in (1, 2, 3)
        ],
        "skipped": [],
        "seconds": {"attention": 3.2, "localizer": 40.0, "localizer/forward": 30.0},
        **{k: parts["best"][k] for k in ("decision_threshold", "presence_threshold", "tau")},
        **parts,
    }
    (run / "metrics.json").write_text(json.dumps(metrics))
    return run


def _evaluated(run: Path, dataset: Dataset, which: str) -> dict[str, Any]:
    model = load_localizer(run, which)
    val = score_split(predict_run(model, dataset.splits["val"], SIDE), dataset.negative)
    thresholds = choose_thresholds(val)
    test = evaluate_split(predict_run(model, dataset.splits["test"], SIDE), dataset.negative, thresholds)
    return {
        "decision_threshold": thresholds.decision,
        "presence_threshold": thresholds.presence,
        "tau": thresholds.tau,
        KEY: fit_on_val(val).to_json(),
        "val": report_split(val, thresholds),
        "test": test,
    }


def _settled(model: Localizer) -> Localizer:
    """Batch statistics as after training."""
    with torch.no_grad():
        model.train()
        for _ in range(8):
            model(torch.randn(4, 3, *SIDE))
    return model.eval()
