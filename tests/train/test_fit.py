"""One step of the localizer: what goes in, which losses act when, seeding, and state there and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

import train.objective
from train.classifier import Classifier, build_classifier
from train.data.dataset import load_dataset
from train.distributed import World
from train.fit import Fitter
from train.items import Item, ViewSource
from train.localizer import build_localizer
from train.proposals import Proposal

from .tiny import HEIGHT, WIDTH, place_of, tiny_config, write_tiny_set

if TYPE_CHECKING:
    from train.config import TrainConfig
    from train.data.types import Dataset

CPU = torch.device("cpu")
STEPS = 4


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return load_dataset(write_tiny_set(tmp_path_factory.mktemp("set")))


def _source(dataset: Dataset, config: TrainConfig, *, boxes: bool = True) -> ViewSource:
    """Perfect attention and proposals: the object's own place, from the known drawing."""
    images = dataset.splits["train"]
    maps = np.zeros((len(images), 3, 8, 8), np.float16)
    found: list[list[Proposal]] = []
    for k, image in enumerate(images):
        x0, y0, x1, y1 = place_of(k + 1)
        maps[k, :, y0 * 8 // HEIGHT : y1 * 8 // HEIGHT, x0 * 8 // WIDTH : x1 * 8 // WIDTH] = 1
        box = (x0 / WIDTH, y0 / HEIGHT, x1 / WIDTH, y1 / HEIGHT)
        found.append([Proposal(box, 1, 0.5, 0.9)] if image.label == 1 and boxes else [])
    return ViewSource(images, maps, found, config)


def _items(
    dataset: Dataset, config: TrainConfig, indices: tuple[int, ...] = (0, 1, 6, 7), **kw: Any
) -> list[Item]:
    source = _source(dataset, config, **kw)
    return [source(0, i) for i in indices]  # two background photos, two with the object


def _fitter(config: TrainConfig, negative: int | None = 0, weights_of: int | None = None) -> Fitter:
    """`weights_of`: seed of the localizer's first weights, where another than that of the classifier's."""
    torch.manual_seed(config.seed)
    classifier = build_classifier(config, 2, None).freeze()
    if weights_of is not None:
        torch.manual_seed(weights_of)
    return Fitter(build_localizer(config.localizer, 2), classifier, negative, config, STEPS, CPU, World())


def test_a_view_holds_the_object_where_its_box_says(dataset: Dataset) -> None:
    for epoch in range(5):
        for index in (6, 7, 8):
            item = _source(dataset, tiny_config())(epoch, index)
            x0, y0, x1, y1 = (item.box * 64).round().astype(int)
            red = item.image_bgr_u8[..., 2].astype(int) - item.image_bgr_u8[..., 1]
            assert red[y0 + 2 : y1 - 2, x0 + 2 : x1 - 2].mean() > red.mean() + 40
            assert np.array_equal(item.kept[0], item.box)


def test_a_view_is_the_same_each_time_and_differs_between_epochs(dataset: Dataset) -> None:
    one, again = (_source(dataset, tiny_config())(3, 7) for _ in range(2))
    other = _source(dataset, tiny_config())(4, 7)
    assert np.array_equal(one.image_bgr_u8, again.image_bgr_u8)
    assert np.array_equal(one.theta, again.theta)
    assert not np.array_equal(one.theta, other.theta)


def test_every_kept_proposal_has_its_turn(dataset: Dataset) -> None:
    images = dataset.splits["train"]
    found = [Proposal((0.1 * k, 0.1, 0.1 * k + 0.3, 0.9), k, 0.1 * k, 0.5) for k in range(3)]
    maps = np.stack([np.full((len(images), 4, 4), k, np.float16) for k in range(3)], axis=1)
    source = ViewSource(images, maps, [found] * len(images), tiny_config())
    drawn = [source(epoch, 7) for epoch in range(60)]
    counts = np.bincount([int(item.attention[0, 0]) for item in drawn], minlength=3)
    assert (counts > 8).all()  # 20 each, less 3 standard deviations
    assert all(item.level == pytest.approx(0.1 * item.attention[0, 0]) for item in drawn)


def test_the_crf_sees_raw_colours_of_the_very_view(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[torch.Tensor] = []

    def crf(images: torch.Tensor, probs: torch.Tensor, *, scale: float) -> torch.Tensor:
        seen.append(images)
        return probs.sum() * 0

    monkeypatch.setattr(train.objective, "normalised_crf_loss", crf)
    config = tiny_config(losses__crf_every=1)
    items = _items(dataset, config)
    _fitter(config).step(items, 0, 0)
    (images,) = seen
    assert images.dtype == torch.uint8
    assert images.max() > 2
    expected = np.stack([item.image_bgr_u8[..., ::-1].transpose(2, 0, 1) for item in items[2:]])
    assert np.array_equal(images.numpy(), expected)  # RGB, photos with the object only


@pytest.mark.parametrize(
    ("settings", "epoch", "index", "acting"),
    [
        pytest.param({}, 0, 0, {"crf"}, id="crf on even steps, cls not yet"),
        pytest.param({}, 1, 1, {"cls"}, id="cls on odd steps from epoch 1"),
        pytest.param({"losses__crf": 0, "losses__cls": 0}, 1, 1, set(), id="both off"),
        pytest.param({"losses__crf_every": 1, "losses__cls_every": 1}, 1, 0, {"crf", "cls"}, id="every step"),
        pytest.param(
            {"losses__cls_from_epoch": 0, "losses__cls_every": 1}, 0, 0, {"crf", "cls"}, id="at once"
        ),
    ],
)
def test_which_losses_act_when(
    dataset: Dataset, settings: dict[str, Any], epoch: int, index: int, acting: set[str]
) -> None:
    config = tiny_config(
        **{"losses__crf_every": 2, "losses__cls_every": 2, "losses__cls_from_epoch": 1, **settings}
    )
    values = _fitter(config).step(_items(dataset, config), epoch, index)
    assert set(values) & {"crf", "cls"} == acting
    assert {"cpa", "head", "total", "lr", "area"} <= set(values)
    assert all(np.isfinite(v) for v in values.values())


def test_what_the_map_leaves_out_is_judged_only_where_a_class_means_nothing(dataset: Dataset) -> None:
    config = tiny_config(losses__rest=0.5)
    items = _items(dataset, config)
    assert "rest" in _fitter(config).step(items, 0, 0)
    assert "rest" not in _fitter(config, negative=None).step(items, 0, 0)
    assert "rest" not in _fitter(tiny_config(losses__rest=0)).step(items, 0, 0)


def test_the_rest_loss_grows_the_map_over_what_the_classifier_still_sees(dataset: Dataset) -> None:
    """A classifier that says "object" as long as anything bright shows: the map must cover more of it."""

    class Bright(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen = x.abs().mean((1, 2, 3))
            return torch.stack([torch.zeros_like(seen), 20 * seen], dim=1)

    def area_after(rest: float) -> float:
        off = {f"losses__{name}": 0 for name in ("cpa", "crf", "cls", "area", "head")}
        config = tiny_config(losses__rest=rest, **off)
        torch.manual_seed(0)
        classifier = Classifier(Bright(), (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), 64).freeze()
        fitter = Fitter(build_localizer(config.localizer, 2), classifier, 0, config, STEPS, CPU, World())
        for step in range(4):
            values = fitter.step(_items(dataset, config), 0, step)
        return values["area"]

    assert area_after(1.0) > area_after(0.0) + 0.01


def test_the_released_form_of_cls_adds_a_number_but_no_gradient(dataset: Dataset) -> None:
    """Same step with and without it: the weights come out equal. In the paper's form they do not."""

    def weights_after(**settings: Any) -> torch.Tensor:
        config = tiny_config(losses__cls_from_epoch=0, losses__cls_every=1, losses__crf=0, **settings)
        fitter = _fitter(config)
        values = fitter.step(_items(dataset, config), 0, 0)
        assert ("cls" in values) == bool(config.losses.cls)
        return torch.cat([p.detach().flatten() for p in fitter.model.parameters()])

    without = weights_after(losses__cls=0)
    assert torch.equal(weights_after(losses__cls=0.5, losses__cls_source="attention"), without)
    assert not torch.equal(weights_after(losses__cls=0.5), without)


@pytest.mark.parametrize(
    ("indices", "boxes"),
    [
        pytest.param((0, 1), True, id="negative photos only"),
        pytest.param((6, 7), False, id="no proposal at all"),
        pytest.param((0, 7), False, id="a negative and one without proposal"),
    ],
)
@pytest.mark.parametrize("index", [0, 1])
def test_batches_that_lack_something_give_finite_losses(
    dataset: Dataset, indices: tuple[int, ...], boxes: bool, index: int
) -> None:
    config = tiny_config(losses__cls_from_epoch=0)
    fitter = _fitter(config)
    values = fitter.step(_items(dataset, config, indices, boxes=boxes), 0, index)
    assert all(np.isfinite(v) for v in values.values())
    assert (values["cpa"] == 0) == (indices == (6, 7))
    assert all(torch.isfinite(p).all() for p in fitter.model.parameters())


def test_without_a_negative_class_every_photo_counts_as_having_an_object(dataset: Dataset) -> None:
    config = tiny_config(losses__crf_every=1)
    values = _fitter(config, negative=None).step(_items(dataset, config, (0, 1)), 0, 0)
    assert "crf" in values
    assert values["cpa"] == 0  # no proposal, no pseudo-pixels


def test_zero_attention_with_a_box_still_trains(dataset: Dataset) -> None:
    config = tiny_config()
    items = [
        Item(i.image_bgr_u8, i.label, i.attention * 0, i.theta, i.box, i.kept, 0.0, i.together)
        for i in _items(dataset, config)
    ]
    assert np.isfinite(_fitter(config).step(items, 0, 0)["total"])


def test_the_classifier_stays_as_it_was(dataset: Dataset) -> None:
    config = tiny_config(losses__cls_from_epoch=0, losses__cls_every=1)
    torch.manual_seed(0)
    classifier = build_classifier(config, 2, None).freeze()
    before = {k: v.clone() for k, v in classifier.state_dict().items()}
    fitter = Fitter(build_localizer(config.localizer, 2), classifier, 0, config, STEPS, CPU, World())
    fitter.step(_items(dataset, config), 0, 0)
    assert all(torch.equal(v, before[k]) for k, v in classifier.state_dict().items())


@pytest.mark.parametrize("name", ["adamw", "sgd"])
@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_state_there_and_back_goes_on_bit_by_bit(dataset: Dataset, name: str, ema: float) -> None:
    config = tiny_config(optim__name=name, optim__ema=ema, optim__schedule="cosine")
    items = _items(dataset, config)
    whole = _fitter(config)
    for step in range(3):
        whole.step(items, 0, step)
    halted = _fitter(config)
    halted.step(items, 0, 0)
    resumed = _fitter(config, weights_of=5)
    resumed.load_state(halted.state())
    torch.manual_seed(99)  # whatever the process did before
    for step in (1, 2):
        resumed.step(items, 0, step)
    expected, found = whole.state(), resumed.state()
    assert expected.keys() == found.keys()
    assert [k for k in expected if not torch.equal(expected[k], found[k])] == []
    judged = resumed.evaluated_state()
    assert all(torch.equal(v, judged[k]) for k, v in whole.evaluated_state().items())


def test_the_average_follows_the_weights_slowly(dataset: Dataset) -> None:
    config = tiny_config(optim__ema=0.9)
    fitter = _fitter(config)
    name = "unet.segmentation_head.0.weight"
    before = fitter.evaluated_state()[name].clone()
    fitter.step(_items(dataset, config), 1, 0)
    now = fitter.model.state_dict()[name]
    torch.testing.assert_close(fitter.evaluated_state()[name], 0.9 * before + 0.1 * now)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        pytest.param(
            {"optim__schedule": "cosine", "optim__warmup": 0.25, "optim__epochs": 4},
            {0: 0.04, 2: 0.52, 4: 1.0, 10: 0.5, 15: 0.5 * (1 + np.cos(np.pi * 11 / 12))},
            id="warm-up over a quarter, then half a cosine",
        ),
        pytest.param(
            {"optim__schedule": "step", "optim__step_epochs": 2, "optim__epochs": 6},
            {0: 1.0, 7: 1.0, 8: 0.1, 16: 0.01},
            id="a tenth every two epochs",
        ),
    ],
)
def test_the_learning_rate(settings: dict[str, Any], expected: dict[int, float]) -> None:
    fitter = _fitter(tiny_config(**settings))
    assert [fitter.lr_factor(at) for at in expected] == pytest.approx(list(expected.values()))


def test_long_gradients_are_clipped(dataset: Dataset) -> None:
    config = tiny_config(
        optim__name="sgd", optim__clip=1e-6, optim__lr=1.0, optim__encoder_lr=1.0, optim__weight_decay=0
    )
    fitter = _fitter(config)
    before = torch.cat([p.detach().flatten() for p in fitter.model.parameters()])
    fitter.step(_items(dataset, config), 1, 0)
    after = torch.cat([p.detach().flatten() for p in fitter.model.parameters()])
    assert 0 < (after - before).norm() < 2.1e-6  # nesterov: 1.9 times the clipped gradient
