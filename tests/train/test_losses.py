"""Partial cross-entropy and the classifier's loss: values, empty cases, and where the gradient goes."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from train.config import LocalizerConfig
from train.localizer import build_localizer, foreground
from train.losses import classifier_loss, partial_cross_entropy
from train.sampling import IGNORE

TINY = LocalizerConfig(
    encoder="test_efficientnet", encoder_weights="none", decoder=(16, 8, 8, 8, 8), size=64, eval_size=64
)


def test_cpa_is_the_mean_over_labelled_pixels_of_the_whole_batch() -> None:
    logits = torch.randn(2, 2, 3, 3, generator=torch.Generator().manual_seed(0))
    labels = torch.full((2, 3, 3), IGNORE)
    labels[0, 0, 0], labels[0, 1, 1], labels[0, 2, 2], labels[1, 0, 1] = 1, 0, 1, 0
    chosen = [(0, 1, 0, 0), (0, 0, 1, 1), (0, 1, 2, 2), (1, 0, 0, 1)]
    expected = -torch.stack([logits.log_softmax(1)[i] for i in chosen]).mean()
    torch.testing.assert_close(partial_cross_entropy(logits, labels), expected)


def test_cpa_without_a_labelled_pixel_is_zero_with_a_zero_gradient() -> None:
    logits = torch.randn(1, 2, 4, 4, requires_grad=True)
    loss = partial_cross_entropy(logits, torch.full((1, 4, 4), IGNORE))
    loss.backward()
    assert loss.item() == 0
    assert logits.grad is not None
    assert not logits.grad.any()


def test_processes_that_share_a_batch_divide_by_the_same_number() -> None:
    """The mean over two halves, each divided by the mean count, is the loss of the whole batch."""
    logits = torch.randn(2, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    labels = torch.full((2, 4, 4), IGNORE)
    labels[0, :, :], labels[1, 0, 0] = 1, 0
    mean_count = torch.tensor((16 + 1) / 2)
    halves = [partial_cross_entropy(logits[i : i + 1], labels[i : i + 1], mean_count) for i in range(2)]
    torch.testing.assert_close(sum(halves) / 2, partial_cross_entropy(logits, labels))


class _Teacher(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2)
        )
        self.eval().requires_grad_(False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.net(x)
        return logits


def test_the_gradient_of_cls_reaches_every_layer_of_the_localizer_but_not_the_classifier() -> None:
    torch.manual_seed(0)
    localizer, teacher = build_localizer(TINY, 2), _Teacher()
    images = torch.randn(2, 3, 64, 64)
    map_logits, _ = localizer(images)
    classifier_loss(teacher, images, foreground(map_logits), torch.tensor([0, 1])).backward()
    without = [
        name
        for name, p in localizer.named_parameters()
        if not name.startswith("class_head") and (p.grad is None or not p.grad.any())
    ]
    assert without == []
    assert all(p.grad is None for p in teacher.parameters())


def test_the_released_form_of_cls_gives_the_localizer_no_gradient() -> None:
    torch.manual_seed(0)
    attention = torch.rand(2, 16, 16)
    loss = classifier_loss(_Teacher(), torch.randn(2, 3, 16, 16), attention, torch.tensor([0, 1]))
    assert not loss.requires_grad
    assert loss.item() > 0


def test_cls_shows_the_classifier_the_mean_colour_outside_the_mask() -> None:
    images, mask = torch.randn(1, 3, 8, 8), torch.zeros(1, 8, 8)
    mask[:, :4] = 1
    seen: list[torch.Tensor] = []

    def classify(x: torch.Tensor) -> torch.Tensor:
        seen.append(x)
        return x.mean((2, 3))[:, :2]

    loss = classifier_loss(classify, images, mask, torch.tensor([1]))
    assert torch.equal(seen[0][:, :, :4], images[:, :, :4])
    assert not seen[0][:, :, 4:].any()
    torch.testing.assert_close(loss, F.cross_entropy(seen[0].mean((2, 3))[:, :2], torch.tensor([1])))


def test_cls_of_no_photo_is_zero() -> None:
    empty = classifier_loss(
        _Teacher(), torch.zeros(0, 3, 8, 8), torch.zeros(0, 8, 8), torch.zeros(0, dtype=torch.long)
    )
    assert empty.item() == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_foreground_is_the_softmax_of_channel_one(dtype: torch.dtype) -> None:
    logits = torch.randn(2, 2, 5, 5).to(dtype)
    torch.testing.assert_close(foreground(logits), logits.float().softmax(1)[:, 1])
