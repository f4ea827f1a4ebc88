"""One view of a photo with what teaches it, and a batch of them as tensors to draw pseudo-pixels from.

photo + proposals + attention (+ own map) ──view──▶ Item ──seed_inputs──▶ SeedInputs of the batch
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional as F

from train.data.imageio import read_image_bgr
from train.fixed_labels import view_labels
from train.sampling import SeedInputs, box_masks
from train.views import draw_view, render, rng_for, sampling_theta, transform_boxes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from train.config import TrainConfig
    from train.data.types import Image
    from train.polish import Polish
    from train.proposals import Proposal
    from train.selftrain import OwnMaps

VIEW_STREAM = 3


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
    target: NDArray[np.float32] | None = None  # (S, S) in [0, 1]: what the map shall be, where it polishes


class ViewSource:
    """Makes the `Item` of photo `index` in epoch `epoch`; deterministic, safe to call from threads."""

    def __init__(
        self,
        images: Sequence[Image],
        attention: NDArray[np.float16],
        proposals: Sequence[Sequence[Proposal]],
        config: TrainConfig,
        own: OwnMaps | None = None,
        polish: Polish | None = None,
    ) -> None:
        """`attention` is (n, maps, rows, columns) and `proposals` is per photo, in the order of `images`."""
        self._images, self._attention, self._proposals, self._config = images, attention, proposals, config
        self._own, self._polish = own, polish
        self._most = max(1, config.proposals.top_p)

    def __call__(self, epoch: int, index: int) -> Item:
        """Raises DatasetError when the photo cannot be read."""
        if self._polish is not None and self._polish.covers(epoch):
            return self._whole(epoch, index, self._polish)
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

    def _whole(self, epoch: int, index: int, polish: Polish) -> Item:
        """A view at the size of flight, with the map it shall have; nothing else teaches it."""
        rng = rng_for(self._config.seed, epoch, index, VIEW_STREAM)
        image, side = self._images[index], self._config.localizer.eval_size
        photo, view = render(read_image_bgr(image.path), draw_view(rng, self._config.polish.crop), side)
        theta, found = sampling_theta(view), polish.get(index)
        target = np.zeros((side, side), np.float32) if found is None else _cut(found, theta, side)
        nothing = np.zeros((self._most, 4), np.float32)
        none = np.zeros(self._most, np.bool_)
        return Item(photo, image.label, target, theta, nothing[0], nothing, 0.0, none, target=target)


def _cut(score_map: NDArray[np.float32], theta: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """(side, side) of the view that `theta` cuts out of the map of the whole photo."""
    grid = F.affine_grid(torch.from_numpy(theta)[None], [1, 1, side, side], align_corners=False)
    whole = torch.from_numpy(score_map)[None, None]
    cut = F.grid_sample(whole, grid, padding_mode="border", align_corners=False)
    return np.asarray(cut[0, 0].numpy(), np.float32)


def seed_inputs(
    items: Sequence[Item], negative: Tensor, config: TrainConfig, device: torch.device
) -> SeedInputs:
    """What pseudo-pixels of one batch are drawn from; `negative` (N,) bool: which photos have no object."""
    side = config.localizer.size
    maps = torch.from_numpy(np.stack([item.attention for item in items]))[:, None].to(device)
    theta = torch.from_numpy(np.stack([item.theta for item in items])).to(device)
    grid = F.affine_grid(theta, [len(items), 1, side, side], align_corners=False)
    attention = F.grid_sample(maps, grid, padding_mode="border", align_corners=False)[:, 0]
    kept = torch.from_numpy(np.stack([item.kept for item in items])).to(device)
    boxes = torch.stack([box_masks(kept[:, p], side) for p in range(kept.shape[1])], dim=1)
    others = None
    if config.sampling.objects == "all":
        together = torch.from_numpy(np.stack([item.together for item in items])).to(device)
        others = (boxes & together[..., None, None]).any(1)
    return SeedInputs(
        attention=attention,
        box=torch.from_numpy(np.stack([item.box for item in items])).to(device),
        kept=boxes.any(1),
        level=torch.tensor([item.level for item in items], device=device),
        negative=negative,
        others=others,
        own=_own_maps(items, theta, side),
    )


def _own_maps(items: Sequence[Item], theta: Tensor, side: int) -> Tensor | None:
    """(N, S, S) maps in [0, 1] of the views, -1 where a view learns from proposals; None: all do."""
    rows = [i for i, item in enumerate(items) if item.own is not None]
    if not rows:
        return None
    maps = torch.from_numpy(np.stack([item.own for item in items if item.own is not None]))[:, None]
    grid = F.affine_grid(theta[rows], [len(rows), 1, side, side], align_corners=False)
    own = torch.full((len(items), side, side), -1.0, device=theta.device)
    own[rows] = F.grid_sample(maps.to(theta.device), grid, padding_mode="border", align_corners=False)[:, 0]
    return own
