"""Pseudo-pixels that stay the same in every epoch: what `sampling.draw = "once"` learns from.

photo + proposal ──drawn once on the whole photo──▶ labels of the photo ──crop and flip──▶ labels of a view

The paper makes new pseudo-labels in each epoch (section 3.3) and says that this finds more of the object
than fixed ones do (A.4); this is the other side of that comparison. Fixed means: a photo has the same pixels
labelled whenever the same one of its top P proposals teaches. They follow from the run's seed, the photo and
the proposal, are drawn on the photo and cropped with it: a view shows or hides some, but chooses none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional as F

from train.sampling import SeedInputs, box_masks, sample_seeds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from train.config import TrainConfig
    from train.proposals import Proposal

LABEL_STREAM = 8


def photo_labels(
    config: TrainConfig, index: int, drawn: int, found: Sequence[Proposal], attention: NDArray[np.float32]
) -> NDArray[np.int64]:
    """Labels of the whole photo, as large as the photo is when a crop of it has the training size.

    Args:
        index: of the photo in the run. drawn: which proposal of `found` teaches.
        attention: (rows, columns) float32 in [0, 1], the map of that proposal.

    Returns:
        (S, S) int64: 0, 1 or IGNORE; as many pixels per area as in `sample_seeds`.
    """
    side = round(config.localizer.size / float(np.mean(config.localizer.crop)))
    boxes = torch.tensor([p.box for p in found], dtype=torch.float32)
    masks = box_masks(boxes, side)
    others = None
    if config.sampling.objects == "all":
        same = torch.tensor([p.map_index == found[drawn].map_index for p in found])
        others = masks[same].any(0, keepdim=True)
    whole = torch.from_numpy(attention)[None, None]
    inputs = SeedInputs(
        attention=F.interpolate(whole, (side, side), mode="bilinear", align_corners=False)[:, 0],
        box=boxes[drawn : drawn + 1],
        kept=masks.any(0, keepdim=True),
        level=torch.tensor([found[drawn].level]),
        negative=torch.tensor([False]),
        others=others,
    )
    sequence = np.random.SeedSequence([config.seed, LABEL_STREAM, index, drawn])
    generator = torch.Generator().manual_seed(int(sequence.generate_state(1)[0]))
    labels: NDArray[np.int64] = sample_seeds(inputs, config.sampling, generator)[0].numpy()
    return labels


def view_labels(
    config: TrainConfig,
    index: int,
    drawn: int,
    found: Sequence[Proposal],
    attention: NDArray[np.float32],
    theta: NDArray[np.float32],
) -> NDArray[np.int64]:
    """`photo_labels` as one view shows them, (size, size) int64.

    Args:
        theta: (2, 3) of `train.views.sampling_theta`.
    """
    whole = torch.from_numpy(photo_labels(config, index, drawn, found, attention))[None, None].float()
    side = config.localizer.size
    grid = F.affine_grid(torch.from_numpy(theta)[None], [1, 1, side, side], align_corners=False)
    seen = F.grid_sample(whole, grid, mode="nearest", padding_mode="border", align_corners=False)
    labels: NDArray[np.int64] = seen[0, 0].long().numpy()
    return labels
