"""Pseudo-pixels: where they may lie, how many, with which odds, and what when there is nothing to draw."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from train.config import SamplingConfig, SelfTrainingConfig
from train.sampling import IGNORE, SeedInputs, box_masks, sample_seeds

SIDE = 56
ALL = (0.0, 0.0, 1.0, 1.0)
NONE = (0.0, 0.0, 0.0, 0.0)
LEFT = (0.0, 0.0, 0.5, 1.0)
POINTS = SamplingConfig(dilation=1, fg_pool="fraction", bg_pool="none", fg_fraction=0.2, bg_fraction=0.3)


def _inputs(attention: torch.Tensor, *boxes: tuple[float, ...], negative: bool = False) -> SeedInputs:
    n, side, _ = attention.shape
    box = torch.tensor(boxes, dtype=torch.float32)
    return SeedInputs(
        attention=attention,
        box=box,
        kept=box_masks(box, side),
        level=torch.full((n,), 0.5),
        negative=torch.full((n,), negative),
    )


def _labels(inputs: SeedInputs, config: SamplingConfig = POINTS, seed: int = 0) -> torch.Tensor:
    return sample_seeds(inputs, config, torch.Generator().manual_seed(seed))


def _ramp(side: int = SIDE, n: int = 1) -> torch.Tensor:
    """Attention that grows from left to right, all values different."""
    values = torch.arange(side * side, dtype=torch.float32).reshape(side, side).T / side**2
    return values.expand(n, side, side).contiguous()


def test_counts_scale_with_the_area() -> None:
    for side, expected in ((224, 1000), (112, 250), (448, 4000)):
        labels = _labels(_inputs(_ramp(side), ALL))
        assert [(labels == k).sum().item() for k in (1, 0)] == [expected, expected]


def test_foreground_is_the_strong_part_of_the_box_and_background_the_weak_part_of_the_image() -> None:
    labels = _labels(_inputs(_ramp(), LEFT), dataclasses.replace(POINTS, fg_fraction=0.25, bg_fraction=0.3))[
        0
    ]
    columns = torch.arange(SIDE).expand(SIDE, SIDE)
    # the strongest quarter of the left half are columns 21..27, the weakest 30 % of all columns 0..16
    assert 21 <= columns[labels == 1].min() <= columns[labels == 1].max() <= 27
    assert columns[labels == 0].max() <= 16


def test_the_region_pool_takes_the_box_above_otsus_level() -> None:
    labels = _labels(_inputs(_ramp(), (0.25, 0.0, 0.75, 1.0)), dataclasses.replace(POINTS, fg_pool="region"))[
        0
    ]
    columns = torch.arange(SIDE).expand(SIDE, SIDE)[labels == 1]
    assert SIDE // 2 <= columns.min() <= columns.max() < 0.75 * SIDE


@pytest.mark.parametrize(
    ("pool", "allowed"),
    [
        pytest.param("none", (True, True, True), id="whole image, as the released code"),
        pytest.param("box", (False, True, True), id="outside the drawn box, paper section 3.2"),
        pytest.param(
            "proposals", (False, False, True), id="outside every kept box: other objects are spared"
        ),
    ],
)
def test_where_background_may_lie(pool: str, allowed: tuple[bool, bool, bool]) -> None:
    drawn, other = (0.0, 0.0, 0.25, 1.0), (0.25, 0.0, 0.5, 1.0)
    inputs = _inputs(torch.rand(1, SIDE, SIDE, generator=torch.Generator().manual_seed(3)), drawn)
    inputs = dataclasses.replace(inputs, kept=inputs.kept | box_masks(torch.tensor([other]), SIDE))
    background = _labels(inputs, dataclasses.replace(POINTS, bg_pool=pool, bg_fraction=1.0, n_fg=0))[0] == 0
    quarter = SIDE // 4
    found = [
        background[:, a:b].any().item() for a, b in ((0, quarter), (quarter, SIDE // 2), (SIDE // 2, SIDE))
    ]
    assert tuple(found) == allowed


def test_foreground_is_drawn_with_odds_proportional_to_the_attention() -> None:
    """One draw from four pixels of weights 1, 2, 3, 4, repeated: shares are 0.1, 0.2, 0.3, 0.4."""
    rounds, side = 4000, 2
    attention = torch.tensor([[0.1, 0.2], [0.3, 0.4]]).expand(rounds, side, side)
    one = dataclasses.replace(POINTS, n_fg=round((224 / side) ** 2), n_bg=0, fg_fraction=1.0)
    shares = (_labels(_inputs(attention, *[ALL] * rounds), one) == 1).float().mean(0).flatten()
    assert torch.allclose(shares, torch.tensor([0.1, 0.2, 0.3, 0.4]), atol=0.03)  # 4 standard deviations


def test_background_is_drawn_with_equal_odds() -> None:
    rounds, side = 4000, 2
    attention = torch.tensor([[0.1, 0.2], [0.3, 0.4]]).expand(rounds, side, side)
    one = dataclasses.replace(POINTS, n_fg=0, n_bg=round((224 / side) ** 2), bg_fraction=1.0)
    shares = (_labels(_inputs(attention, *[ALL] * rounds), one) == 0).float().mean(0).flatten()
    assert torch.allclose(shares, torch.full((4,), 0.25), atol=0.03)


def test_drawing_more_than_there_is_takes_all_of_it() -> None:
    box = (0.0, 0.0, 0.25, 0.25)
    labels = _labels(_inputs(_ramp(), box), dataclasses.replace(POINTS, n_fg=10**6, n_bg=0, fg_fraction=1.0))
    assert torch.equal(labels[0] == 1, box_masks(torch.tensor([box]), SIDE)[0])


def test_pixels_drawn_for_both_are_ignored() -> None:
    everything = dataclasses.replace(POINTS, n_fg=10**6, n_bg=10**6, fg_fraction=1.0, bg_fraction=1.0)
    labels = _labels(_inputs(_ramp(), LEFT), everything)[0]
    assert (labels[:, : SIDE // 2] == IGNORE).all()
    assert (labels[:, SIDE // 2 :] == 0).all()


def test_collisions_are_found_after_dilation() -> None:
    """One foreground and one background pixel side by side: grown by 1 px, only their outer columns stay."""
    attention = torch.full((1, 8, 8), 0.5)
    attention[0, 4, 3], attention[0, 4, 4] = 1.0, 0.0
    one = dataclasses.replace(POINTS, n_fg=784, n_bg=784, fg_fraction=1 / 64, bg_fraction=1 / 64, dilation=3)
    labels = _labels(_inputs(attention, ALL), one)[0]
    assert labels[4].tolist() == [IGNORE, IGNORE, 1, IGNORE, IGNORE, 0, IGNORE, IGNORE]


def test_dilation_at_the_border_does_not_wrap() -> None:
    attention = torch.zeros(1, 8, 8)
    attention[0, 0, 0] = 1.0
    one = dataclasses.replace(POINTS, n_fg=784, n_bg=0, fg_fraction=1 / 64, dilation=3)
    labels = _labels(_inputs(attention, ALL), one)[0]
    assert (labels == 1).nonzero().tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]


def test_negative_photos_are_background_everywhere() -> None:
    for box in (NONE, ALL):
        assert (_labels(_inputs(_ramp(), box, negative=True)) == 0).all()


@pytest.mark.parametrize("fg_pool", ["fraction", "region"])
@pytest.mark.parametrize("bg_pool", ["none", "box", "proposals"])
@pytest.mark.parametrize(
    ("attention", "box"),
    [
        pytest.param(_ramp(), NONE, id="no proposal"),
        pytest.param(_ramp(), (1.0, 0.2, 1.0, 0.9), id="the box lies outside the crop"),
        pytest.param(_ramp(), (0.5, 0.5, 0.5001, 0.5001), id="thinner than a pixel"),
    ],
)
def test_without_a_box_in_view_nothing_is_labelled(
    attention: torch.Tensor, box: tuple[float, ...], fg_pool: str, bg_pool: str
) -> None:
    config = dataclasses.replace(POINTS, fg_pool=fg_pool, bg_pool=bg_pool)
    assert (_labels(_inputs(attention, box), config) == IGNORE).all()


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_constant_attention_gives_labels_without_failing(value: float) -> None:
    labels = _labels(_inputs(torch.full((2, SIDE, SIDE), value), LEFT, NONE))
    assert set(labels[0].unique().tolist()) <= {IGNORE, 0, 1}
    assert (labels[1] == IGNORE).all()


def test_one_kind_of_seed_may_be_switched_off() -> None:
    for off, left in (("n_fg", 0), ("n_bg", 1)):
        labels = _labels(_inputs(_ramp(), ALL), dataclasses.replace(POINTS, **{off: 0}))
        assert set(labels.unique().tolist()) == {IGNORE, left}


def test_the_generator_alone_decides() -> None:
    inputs = _inputs(_ramp(n=2), ALL, LEFT)
    torch.manual_seed(1)
    first = _labels(inputs, seed=5)
    torch.manual_seed(2)
    assert torch.equal(first, _labels(inputs, seed=5))
    assert not torch.equal(first, _labels(inputs, seed=6))


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        pytest.param(ALL, 16, id="whole"),
        pytest.param((0.25, 0.0, 0.5, 1.0), 4, id="half open: one column"),
        pytest.param((0.3, 0.3, 0.7, 0.7), 4, id="pixel centres decide"),
        pytest.param((0.4, 0.4, 0.6, 0.6), 0, id="no centre inside"),
    ],
)
def test_boxes_become_pixels_by_their_centres(box: tuple[float, ...], expected: int) -> None:
    assert box_masks(torch.tensor([box]), 4).sum() == expected


def test_every_object_of_the_map_is_seeded_where_all_are_asked_for() -> None:
    inputs = _inputs(torch.full((1, SIDE, SIDE), 0.9), LEFT)
    right = box_masks(torch.tensor([(0.75, 0.0, 1.0, 1.0)]), SIDE)
    config = dataclasses.replace(POINTS, fg_pool="region")
    alone, both = _labels(inputs, config)[0], _labels(dataclasses.replace(inputs, others=right), config)[0]
    assert not (alone[:, 28:] == 1).any()
    assert (both[:, 42:] == 1).any()
    assert not (both[:, 28:42] == 1).any()


def test_sure_pixels_of_the_own_map_teach_and_doubtful_ones_do_not() -> None:
    """Attention says left, the localizer's own map says right and leaves the middle open."""
    own = torch.full((2, SIDE, SIDE), 0.5)
    own[0, :, :20], own[0, :, 40:] = 0.1, 0.9
    own[1] = -1.0  # this view learns from its proposal
    inputs = dataclasses.replace(_inputs(_ramp(n=2), LEFT, LEFT), own=own)
    generator = torch.Generator().manual_seed(0)
    first, second = sample_seeds(inputs, POINTS, generator, SelfTrainingConfig(sure_fg=0.8, sure_bg=0.2))
    assert (first[:, 40:] == 1).any()
    assert not (first[:, 20:40] != IGNORE).any()
    assert not (first[:, :20] == 1).any()
    assert (first[:, :20] == 0).any()
    assert (second[:, :28] == 1).any()
    assert not (second[:, 28:] == 1).any()
