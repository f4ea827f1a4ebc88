"""Both checkpoints of a run: judged once where they are the same weights, and apart where they are not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from train.evaluation.evaluate_run import judge_checkpoints

if TYPE_CHECKING:
    from typing import Any


def _network(weight: float, seen: float = 0.0) -> torch.nn.Module:
    network = torch.nn.BatchNorm1d(1)
    torch.nn.init.constant_(network.weight, weight)
    assert network.running_mean is not None
    network.running_mean.fill_(seen)
    return network.requires_grad_(False)


@pytest.mark.parametrize(
    ("best", "last", "judged"),
    [
        pytest.param(_network(0.5), _network(0.5), ["best"], id="the same"),
        pytest.param(_network(0.5), _network(0.4), ["best", "last"], id="other weights"),
        pytest.param(_network(0.5), _network(0.5, seen=1.0), ["best", "last"], id="other statistics"),
    ],
)
def test_the_same_weights_are_judged_once(
    best: torch.nn.Module, last: torch.nn.Module, judged: list[str]
) -> None:
    asked: list[str] = []

    def judge(which: str, network: torch.nn.Module) -> dict[str, Any]:
        asked.append(which)
        return {"val": {"weight": float(network.weight)}}  # type: ignore[arg-type]

    results = judge_checkpoints({"best": best, "last": last}.__getitem__, judge)
    assert asked == judged
    for which, network in (("best", best), ("last", last)):
        assert results[which] == {"val": {"weight": float(network.weight)}}  # type: ignore[arg-type]
    results["last"]["val"]["weight"] = 7.0
    assert results["best"]["val"]["weight"] == float(best.weight)  # type: ignore[arg-type]
