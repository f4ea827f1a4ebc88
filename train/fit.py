"""Fit the localizer: views and proposals in, seeds drawn, three losses, one optimiser step.

photo + proposal ──view──▶ seeds ──┐
                └─────────▶ U-Net ─┴▶ CPA + CLS + CRF + class head ──▶ step ──▶ last.safetensors
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from train.crf import normalised_crf_loss
from train.data.imageio import read_image_bgr
from train.fixed_labels import view_labels
from train.localizer import foreground
from train.losses import classifier_loss, partial_cross_entropy
from train.optimizer import load_optimizer_state, lr_factor, optimizer_state
from train.optimstate import part_of
from train.sampling import IGNORE, SeedInputs, box_masks, sample_seeds
from train.shared import Timer
from train.tensors import autocast, normalise, speed_up_training, stack_images
from train.views import draw_view, render, rng_for, sampling_theta, transform_boxes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from train.classifier import Classifier
    from train.config import TrainConfig
    from train.data.types import Image
    from train.distributed import World
    from train.localizer import Localizer
    from train.proposals import Proposal
    from train.selftrain import OwnMaps

VIEW_STREAM = 3
STEP_STREAM = 4
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Item:
    """One view, ready to be stacked: photo, its class, and the proposal drawn for it."""

    image_bgr_u8: NDArray[np.uint8]
    label: int
    attention: NDArray[np.float32]  # (rows, columns), whole photo
    theta: NDArray[np.float32]  # cuts the view out of the attention map
    box: NDArray[np.float32]  # (4,) drawn proposal in the view; zero width: none
    kept: NDArray[np.float32]  # (P, 4) all kept proposals in the view
    level: float
    together: NDArray[np.bool_]  # (P,) which of them come from the drawn one's map
    own: NDArray[np.float32] | None = None  # the localizer's map of the whole photo, where it teaches
    labels: NDArray[np.int64] | None = None  # (S, S) of the view, where they are not drawn anew


class ViewSource:
    """Makes the `Item` of photo `index` in epoch `epoch`; deterministic, safe to call from threads."""

    def __init__(
        self,
        images: Sequence[Image],
        attention: NDArray[np.float16],
        proposals: Sequence[Sequence[Proposal]],
        config: TrainConfig,
        own: OwnMaps | None = None,
    ) -> None:
        """`attention` is (n, maps, rows, columns) and `proposals` is per photo, in the order of `images`."""
        self._images, self._attention, self._proposals, self._config = images, attention, proposals, config
        self._own = own
        self._most = max(1, config.proposals.top_p)

    def __call__(self, epoch: int, index: int) -> Item:
        """Raises DatasetError when the photo cannot be read."""
        rng = rng_for(self._config.seed, epoch, index, VIEW_STREAM)
        image, found = self._images[index], self._proposals[index]
        settings = self._config.localizer
        photo, view = render(read_image_bgr(image.path), draw_view(rng, settings.crop), settings.size)
        kept = np.zeros((self._most, 4), np.float32)
        box, level, map_index = np.zeros(4, np.float32), 0.0, 0
        together = np.zeros(self._most, np.bool_)
        if found:
            kept[: len(found)] = transform_boxes(np.array([p.box for p in found], np.float32), view)
            drawn = int(rng.integers(len(found)))
            box, level, map_index = kept[drawn], found[drawn].level, found[drawn].map_index
            together[: len(found)] = [p.map_index == map_index for p in found]
        attention = np.asarray(self._attention[index, map_index], np.float32)
        sure = self._own.get(index) if self._own is not None else None
        if sure is not None and rng.random() >= self._config.selftrain.share:
            sure = None
        theta = sampling_theta(view)
        labels = None
        if self._config.sampling.draw == "once" and found and sure is None:
            labels = view_labels(self._config, index, drawn, found, attention, theta)
        return Item(photo, image.label, attention, theta, box, kept, level, together, sure, labels)


class Fitter:
    """Model, optimiser and schedule; one `step` per batch."""

    def __init__(
        self,
        model: Localizer,
        classifier: Classifier,
        negative: int | None,
        config: TrainConfig,
        steps_per_epoch: int,
        device: torch.device,
        world: World,
    ) -> None:
        self.model = model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        speed_up_training(self.model, device)
        speed_up_training(classifier, device)
        self._wrapped = world.wrap(self.model)
        self._classifier = classifier.to(device)
        self._negative, self._config, self._device, self._world = negative, config, device, world
        self._steps_per_epoch = steps_per_epoch
        self._optimizer = _optimizer(self.model, config)
        self._base_lr = [float(group["lr"]) for group in self._optimizer.param_groups]
        self._scaler = torch.amp.GradScaler(device.type, enabled=device.type == "cuda")
        self._ema = (
            {k: v.detach().clone() for k, v in self.model.state_dict().items()} if config.optim.ema else {}
        )
        self.seconds: dict[str, float] = {}

    def step(self, items: Sequence[Item], epoch: int, index: int) -> dict[str, float]:
        """One optimiser step on one batch (this process's share).

        Args:
            epoch, index: position in the run; they alone seed every random draw.

        Returns:
            Loss values by name and the learning rate; the caller checks that they are finite.
        """
        at = epoch * self._steps_per_epoch + index
        sequence = np.random.SeedSequence([self._config.seed, STEP_STREAM, at, self._world.rank])
        seed = int(sequence.generate_state(1)[0])
        torch.manual_seed(seed)  # dropout and stochastic depth
        for group, base in zip(self._optimizer.param_groups, self._base_lr, strict=True):
            group["lr"] = base * self.lr_factor(at)
        self.model.train()
        losses = self._losses(items, epoch, index, seed)
        with self._timed("backward"):
            self._optimizer.zero_grad()
            self._scaler.scale(losses["total"]).backward()  # type: ignore[no-untyped-call]
            self._scaler.unscale_(self._optimizer)
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self._config.optim.clip)
            self._scaler.step(self._optimizer)
            self._scaler.update()
            self._update_ema()
        values = {name: float(value.detach()) for name, value in losses.items()}
        return values | {"lr": float(self._optimizer.param_groups[0]["lr"])}

    def _losses(self, items: Sequence[Item], epoch: int, index: int, seed: int) -> dict[str, Tensor]:
        weights = self._config.losses
        with self._timed("seeds"):
            rgb = stack_images([item.image_bgr_u8 for item in items]).to(self._device)
            targets = torch.tensor([item.label for item in items], device=self._device)
            positive = targets != (-1 if self._negative is None else self._negative)
            inputs = self._seed_inputs(items, ~positive)
            generator = torch.Generator(self._device).manual_seed(seed)
            labels = sample_seeds(inputs, self._config.sampling, generator, self._config.selftrain)
            for i, item in enumerate(items):
                if item.labels is not None:
                    labels[i] = torch.from_numpy(item.labels).to(self._device)
        with self._timed("forward"):
            x = normalise(rgb, self.model.mean, self.model.std).contiguous(memory_format=torch.channels_last)
            with autocast(self._device):
                map_logits, class_logits = self._wrapped(x)
            map_logits = map_logits.float()
        labelled = self._world.mean((labels != IGNORE).sum())
        losses = {
            "cpa": partial_cross_entropy(map_logits, labels, labelled),
            "head": F.cross_entropy(class_logits.float(), targets),
        }
        mine = self._world.weight(len(items))
        mine_positive = self._world.weight(int(positive.sum()))
        total = weights.cpa * losses["cpa"] + mine * weights.head * losses["head"]
        if weights.crf and index % weights.crf_every == 0 and bool(positive.any()):
            with self._timed("crf"):
                probs = map_logits[positive].softmax(1)
                losses["crf"] = normalised_crf_loss(rgb[positive], probs, scale=weights.crf_scale)
            total = total + mine_positive * weights.crf * weights.crf_every * losses["crf"]
        turn = index % weights.cls_every == weights.cls_every - 1
        if weights.cls and epoch >= weights.cls_from_epoch and turn and bool(positive.any()):
            with self._timed("cls"):
                mask = inputs.attention if weights.cls_source == "attention" else foreground(map_logits)
                losses["cls"] = self._cls(rgb[positive], mask[positive], targets[positive])
            total = total + mine_positive * weights.cls * losses["cls"]
        if weights.rest and self._negative is not None and bool(positive.any()):
            with self._timed("cls"):
                mask, nothing = 1 - foreground(map_logits), torch.full_like(targets, self._negative)
                losses["rest"] = self._cls(rgb[positive], mask[positive], nothing[positive])
            total = total + mine_positive * weights.rest * losses["rest"]
        losses["area"] = foreground(map_logits[positive]).mean() if bool(positive.any()) else total * 0
        if epoch >= 1:  # first learn where the object is, then how far it reaches
            total = total + mine_positive * weights.area * losses["area"]
        return losses | {"total": total}

    def _cls(self, rgb: Tensor, mask: Tensor, targets: Tensor) -> Tensor:
        teacher = self._classifier
        images = normalise(rgb, teacher.mean, teacher.std)
        with autocast(self._device):
            return classifier_loss(teacher, images, mask, targets)

    def _seed_inputs(self, items: Sequence[Item], negative: Tensor) -> SeedInputs:
        device, side = self._device, self._config.localizer.size
        maps = torch.from_numpy(np.stack([item.attention for item in items]))[:, None].to(device)
        theta = torch.from_numpy(np.stack([item.theta for item in items])).to(device)
        grid = F.affine_grid(theta, [len(items), 1, side, side], align_corners=False)
        attention = F.grid_sample(maps, grid, padding_mode="border", align_corners=False)[:, 0]
        kept = torch.from_numpy(np.stack([item.kept for item in items])).to(device)
        boxes = torch.stack([box_masks(kept[:, p], side) for p in range(kept.shape[1])], dim=1)
        others = None
        if self._config.sampling.objects == "all":
            together = torch.from_numpy(np.stack([item.together for item in items])).to(device)
            others = (boxes & together[..., None, None]).any(1)
        return SeedInputs(
            attention=attention,
            box=torch.from_numpy(np.stack([item.box for item in items])).to(device),
            kept=boxes.any(1),
            level=torch.tensor([item.level for item in items], device=device),
            negative=negative,
            others=others,
            own=self._own_maps(items, theta),
        )

    def _own_maps(self, items: Sequence[Item], theta: Tensor) -> Tensor | None:
        """(N, S, S) maps in [0, 1] of the views, -1 where a view learns from proposals; None: all do."""
        side = self._config.localizer.size
        rows = [i for i, item in enumerate(items) if item.own is not None]
        if not rows:
            return None
        maps = torch.from_numpy(np.stack([item.own for item in items if item.own is not None]))[:, None]
        grid = F.affine_grid(theta[rows], [len(rows), 1, side, side], align_corners=False)
        own = torch.full((len(items), side, side), -1.0, device=self._device)
        seen = F.grid_sample(maps.to(self._device), grid, padding_mode="border", align_corners=False)
        own[rows] = seen[:, 0]
        return own

    def lr_factor(self, at: int) -> float:
        """Share of the base learning rate at global step `at`."""
        return lr_factor(self._config.optim, self._steps_per_epoch, at)

    def _update_ema(self) -> None:
        decay = self._config.optim.ema
        with torch.no_grad():
            for name, value in self.model.state_dict().items() if self._ema else ():
                if value.is_floating_point():
                    self._ema[name].lerp_(value, 1 - decay)
                else:
                    self._ema[name].copy_(value)

    def evaluated_state(self) -> dict[str, Tensor]:
        """Weights that are judged and flown: the average when there is one."""
        return self._ema or dict(self.model.state_dict())

    def state(self) -> dict[str, Tensor]:
        """Everything a resumed run needs, as named tensors."""
        tensors = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        tensors |= {f"ema.{k}": v for k, v in self._ema.items()}
        tensors |= optimizer_state(self._optimizer, self._scaler)
        return {k: v.clone() for k, v in tensors.items()}

    def load_state(self, tensors: dict[str, Tensor]) -> None:
        """The reverse of `state`. Raises RuntimeError, KeyError or ValueError for another network's state."""
        self.model.load_state_dict(part_of(tensors, "model."))
        self._ema = {k: v.to(self._device) for k, v in part_of(tensors, "ema.").items()}
        load_optimizer_state(self._optimizer, self._scaler, tensors)

    def _timed(self, name: str) -> Timer:
        return Timer(self.seconds, name)


def _optimizer(model: Localizer, config: TrainConfig) -> torch.optim.Optimizer:
    settings = config.optim
    encoder = list(model.unet.encoder.parameters())
    ids = {id(p) for p in encoder}
    rest = [p for p in model.parameters() if id(p) not in ids]
    groups = [{"params": rest, "lr": settings.lr}, {"params": encoder, "lr": settings.encoder_lr}]
    if settings.name == "sgd":
        return torch.optim.SGD(groups, momentum=0.9, nesterov=True, weight_decay=settings.weight_decay)
    return torch.optim.AdamW(groups, weight_decay=settings.weight_decay)
