"""Which layers of a quantized model stay float, found by trying: as few as it takes for its files to be good.

placement + ranges ──all int8──▶ measured ──not good enough──▶ worst layers float ──▶ files, float layers
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from calibration.agreement import Agreement, Answers
from calibration.fallback import guess_prefix, shortest_prefix
from calibration.sensitivity import LayerCost, layer_costs
from edge_runtime.contract import ModelContract
from edge_runtime.errors import ModelError
from edge_runtime.progress import Progress

if TYPE_CHECKING:
    from calibration.bench import Bench, Tried
    from calibration.families import Family, Material

log = logging.getLogger(__name__)

MOST_FLOAT = 0.5  # of the layers: with more of them float, int8 has no point

# contract of a candidate (target, thresholds), answers to all val frames ──▶ why it must not fly, or None
Accept = Callable[[ModelContract, Answers], "str | None"]


@dataclass(frozen=True)
class Int8Settings:
    """`method`: "auto" or one of `calibration.ranges`. `seed`: of the frames, noted in the table.

    Aims: layers become float until they hold, if at most half of the layers do; the map error only counts
    for TensorRT. `least_iou`, `most_flips` (a share of the frames, one always may): below them there is no
    file, unless another gate is given. `search_frames`, `layer_frames`: val frames methods and layers are
    compared on.
    """

    method: str = "auto"
    seed: int = 0
    threads: int | None = None
    aim_iou: float = 0.98
    aim_map_mean: float = 2e-3
    least_iou: float = 0.97
    most_flips: float = 0.01
    search_frames: int = 40
    layer_frames: int = 8


@dataclass(frozen=True)
class Fitted:
    """Files of a family, in the order of its targets. `costs`: of the layers alone, if they were measured."""

    tried: tuple[Tried, ...]
    float_layers: tuple[str, ...]
    costs: tuple[LayerCost, ...] = ()


@dataclass(frozen=True)
class Fitting:
    """What all families of one model have in common. `part`: a few of the bench's frames, to fail quickly."""

    material: Material
    bench: Bench
    part: Bench
    settings: Int8Settings
    accept: Accept | None = None

    def fit(self, family: Family) -> Fitted:
        """Files that meet the aims, if they can, else the gate, with as few float layers as that takes.

        Raises:
            ModelError: the gate does not hold with half of the layers float.
        """
        search = _Search(self, family)
        layers = len(self.material.placement.layers)
        most = int(MOST_FLOAT * layers)
        if search.seems_good(()) and search.is_good(()):
            return Fitted(search.tried(()), ())
        costs = self._costs(family)
        order = [cost.layer for cost in costs]
        chosen = self._good_prefix(search, costs, most)
        if chosen is None:
            log.warning("%s: %s, even with %d of %d layers float", family.name, search.reason, most, layers)
            chosen = () if search.may_fly(()) else shortest_prefix(order, search.may_fly, most)
        if chosen is None:
            raise ModelError(
                f"{family.name}: {search.reason}, even with {most} of {layers} layers float; nothing was "
                "written: fly the fp16 file, or calibrate on photos of what the camera will see"
            )
        log.info("%s: %d of %d layers float", family.name, len(chosen), layers)
        return Fitted(search.tried(chosen), chosen, tuple(costs))

    def _good_prefix(self, search: _Search, costs: list[LayerCost], most: int) -> tuple[str, ...] | None:
        """The shortest that seems good on a few frames, made longer until it is on all."""
        order = [cost.layer for cost in costs]
        guess = guess_prefix([cost.map_mean for cost in costs], self.settings.aim_map_mean)
        seems = shortest_prefix(order, search.seems_good, most, guess if search.map_error_counts else 1)
        count, more = most + 1 if seems is None else len(seems), 1
        while count <= most:
            if search.is_good(order[:count]):
                return tuple(order[:count])
            count, more = count + more, 2 * more
        return None

    def _costs(self, family: Family) -> list[LayerCost]:
        few = self.bench.part(self.settings.layer_frames)
        with Progress("cost per layer", len(self.material.placement.layers)) as progress:
            return layer_costs(
                self.material.model,
                self.material.placement.layers,
                lambda float_layers: family.probe(self.material, float_layers),
                few,
                progress.step,
            )


class _Search:
    """Tries sets of float layers for one family; remembers what was measured, and why the last one failed."""

    def __init__(self, fitting: Fitting, family: Family) -> None:
        self._fitting, self._family = fitting, family
        self.map_error_counts = family.map_error_counts
        self._tried: dict[tuple[str, ...], tuple[Tried, ...]] = {}
        self.reason = ""

    def tried(self, float_layers: Sequence[str]) -> tuple[Tried, ...]:
        """The models of the family on all frames."""
        key = tuple(float_layers)
        if key not in self._tried:
            models = self._family.build(self._fitting.material, float_layers)
            measure = self._fitting.bench.measure
            tried = [measure(model, as_written=self._family.as_written) for model in models]
            self._tried[key] = tuple(
                dataclasses.replace(one, contract=self._stamped(one.contract, target))
                for one, target in zip(tried, self._family.targets, strict=True)
            )
        return self._tried[key]

    def seems_good(self, float_layers: Sequence[str]) -> bool:
        """The aims hold for the model that runs fastest, on a few frames."""
        fastest = self._family.probe(self._fitting.material, float_layers)
        quick = self._fitting.part.measure(fastest, as_written=self._family.as_written)
        log.info("%s, %d layers float: %s", self._family.name, len(float_layers), in_words(quick.agreement))
        return not self._failed(self._missed_aim(quick.agreement))

    def is_good(self, float_layers: Sequence[str]) -> bool:
        """Aims and gate hold for every model, on all frames."""
        missed = (self._missed_aim(tried.agreement) for tried in self.tried(float_layers))
        return not any(map(self._failed, missed)) and self.may_fly(float_layers)

    def may_fly(self, float_layers: Sequence[str]) -> bool:
        """The gate holds for every model, on all frames."""
        return not any(self._failed(self._refused(tried)) for tried in self.tried(float_layers))

    def _stamped(self, contract: ModelContract, target: str) -> ModelContract:
        method = self._fitting.material.trial.method
        return dataclasses.replace(contract, precision="int8", target=target, calibration_method=method)

    def _failed(self, reason: str | None) -> bool:
        self.reason = reason or self.reason
        return reason is not None

    def _missed_aim(self, found: Agreement) -> str | None:
        settings = self._fitting.settings
        if found.mean_iou < settings.aim_iou:
            return f"mean box IoU with fp32 is {found.mean_iou:.3f}, aim {settings.aim_iou}"
        if self._family.map_error_counts and found.map_mean > settings.aim_map_mean:
            return f"mean map error is {found.map_mean:.1e}, aim {settings.aim_map_mean:.0e}"
        return None

    def _refused(self, tried: Tried) -> str | None:
        accept = self._fitting.accept
        if accept is not None:
            return accept(tried.contract, tried.answers)
        return gate(tried.agreement, self._fitting.settings)


def gate(found: Agreement, settings: Int8Settings) -> str | None:
    """Why a candidate must not fly where nothing but agreement with fp32 can be measured; None if it may."""
    if found.mean_iou < settings.least_iou:
        return f"mean box IoU with fp32 is {found.mean_iou:.3f}, expected at least {settings.least_iou}"
    allowed = max(1, int(settings.most_flips * found.frames))
    if found.presence_flips > allowed:
        return f"presence differs from fp32 on {found.presence_flips} of {found.frames} frames, {allowed} may"
    return None


def in_words(found: Agreement) -> str:
    """One line on how a candidate compares with fp32."""
    return (
        f"box IoU with fp32 {found.mean_iou:.4f} (least {found.min_iou:.3f}), "
        f"map error {found.map_mean:.1e}, presence differs on {found.presence_flips} of {found.frames}"
    )
