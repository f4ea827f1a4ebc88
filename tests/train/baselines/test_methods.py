"""What makes each baseline what it is, and what all of them have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
import torch

from edge_runtime.errors import UsageError
from tests.train import tiny
from train.baselines.adl import AdlSettings, AttentionDropout
from train.baselines.base import LIKELIEST, Baseline, stretch, unit_range
from train.baselines.center import pyramid
from train.baselines.cutmix import paste
from train.baselines.explain import build_baseline
from train.baselines.has import hide
from train.baselines.layercam import fuse, layer_map
from train.baselines.methods import METHODS, method_class
from train.baselines.spg import UNSURE, sure, sure_cross_entropy
from train.sst import cls_attention
from train.tensors import normalise

from .tiny import LEARNING, tiny_baseline

if TYPE_CHECKING:
    from train.baselines.acol import Acol
    from train.baselines.cam import Cam

assert tiny.tiny_vgg16  # known to timm
CLASSES, NEGATIVE = 3, 0


def _build(method: str, **changes: object) -> Any:
    torch.manual_seed(0)
    return build_baseline(tiny_baseline(method, **changes), CLASSES, NEGATIVE)


def _photos(n: int = 4) -> torch.Tensor:
    return torch.randint(
        0, 256, (n, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(1)
    )


@pytest.mark.parametrize("method", LEARNING)
def test_every_weight_learns(method: str) -> None:
    model: Baseline = _build(method).train()
    torch.manual_seed(3)
    losses = model(_photos(), torch.tensor([0, 1, 2, 1]))
    assert torch.allclose(losses["total"], sum(v for k, v in losses.items() if k != "total"))
    losses["total"].backward()
    asleep = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
    assert asleep == []


@pytest.mark.parametrize("method", list(METHODS))
def test_a_map_belongs_to_its_photo_and_class_alone(method: str) -> None:
    model = _build(method).eval().requires_grad_(False)
    photos, labels = _photos(), torch.tensor([1, 2, 1, 2])
    with torch.no_grad():
        maps, probs = model.explain(photos, labels)
        again, _ = model.explain(photos[2:3], labels[2:3])
    assert maps.shape[0] == 4
    assert maps.dtype == torch.float32
    assert maps.isfinite().all()
    assert probs.shape == (4, CLASSES)
    assert torch.allclose(probs.sum(1), torch.ones(4), atol=1e-5)
    assert torch.allclose(again[0], maps[2], atol=0.02 * float(maps.abs().max()))


@pytest.mark.parametrize("method", [m for m in METHODS if m not in ("sst", "center")])
def test_maps_differ_between_classes(method: str) -> None:
    model = _build(method).eval().requires_grad_(False)
    with torch.no_grad():
        one, two = (model.explain(_photos(1), torch.tensor([label]))[0] for label in (1, 2))
    assert not torch.allclose(one, two)


@pytest.mark.parametrize(
    ("label", "logits", "chosen"),
    [
        pytest.param(1, (9.0, 0.0, 5.0), 1, id="the photo's own class"),
        pytest.param(NEGATIVE, (9.0, 0.0, 5.0), 2, id="no object: the likeliest that is one"),
        pytest.param(LIKELIEST, (9.0, 3.0, 1.0), 1, id="nobody tells"),
    ],
)
def test_the_map_is_of_a_class_that_shows_something(
    label: int, logits: tuple[float, ...], chosen: int
) -> None:
    model = _build("center")
    assert model.chosen(torch.tensor([logits]), torch.tensor([label])).tolist() == [chosen]


def test_without_a_negative_class_every_class_shows_something() -> None:
    model = build_baseline(tiny_baseline("center"), CLASSES, None)
    picked = model.chosen(torch.tensor([[9.0, 0, 5], [0, 1, 0]]), torch.tensor([0, LIKELIEST]))
    assert picked.tolist() == [0, 1]


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(np.full((7, 7), 3.0), id="constant"),
        pytest.param(np.array([[0.0, np.nan], [1.0, 2.0]]), id="not a number"),
        pytest.param(np.array([[0.0, np.inf], [1.0, 2.0]]), id="infinite"),
    ],
)
def test_a_map_that_says_nothing_is_zero(raw: Any) -> None:
    assert not stretch(raw.astype(np.float32), cv2.INTER_CUBIC).any()


def test_a_map_is_resized_first_and_stretched_then() -> None:
    raw = np.random.default_rng(0).normal(size=(7, 7)).astype(np.float32)
    found = stretch(raw, cv2.INTER_CUBIC)
    big = cv2.resize(raw.astype(np.float64), (224, 224), interpolation=cv2.INTER_CUBIC)
    assert found.shape == (224, 224)
    assert np.array_equal(found, ((big - big.min()) / (big.max() - big.min())).astype(np.float32))


def test_cam_is_the_class_score_of_each_place() -> None:
    """The mean of the map and the bias make the logit, so each place says its share."""
    model: Cam = _build("cam").eval()
    photos = _photos(2)
    with torch.no_grad():
        x = normalise(photos, model.mean, model.std)
        logits = model.logits(x)
        for label in (1, 2):
            maps, _ = model.explain(photos, torch.full((2,), label))
            expected = maps.mean((1, 2)) + model.head.bias[label]
            assert torch.allclose(expected, logits[:, label], atol=1e-4)


@pytest.mark.parametrize("encoder", ["test_efficientnet", "test_resnet", "tiny_vgg16"])
def test_cam_equals_torchcam(encoder: str) -> None:
    methods = pytest.importorskip("torchcam.methods")
    model: Cam = _build("cam", backbone__name=encoder).eval()
    net = _Plain(model)
    last = str(len(model.backbone.units) - 1)
    photos = _photos(1)
    with methods.CAM(net, target_layer=net.backbone.units[int(last)], fc_layer=net.head) as extractor:
        scores = net(normalise(photos, model.mean, model.std))
        theirs = extractor(2, scores, normalized=False)[0]
    with torch.no_grad():
        ours, _ = model.explain(photos, torch.tensor([2]))
    assert torch.allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def test_layercam_equals_torchcam() -> None:
    methods = pytest.importorskip("torchcam.methods")
    model: Any = _build("layercam", baseline__stages=1).eval()
    net = _Plain(model)
    x = normalise(_photos(1), model.mean, model.std)
    unit = model.backbone.units[model.backbone.places.stages[-1]]
    with methods.LayerCAM(net, target_layer=unit) as extractor:
        theirs = extractor(1, net(x), normalized=False)[0]
    with torch.no_grad():
        ours, _ = model.explain(_photos(1), torch.tensor([1]))
    theirs = theirs.clamp_min(0)
    assert torch.allclose(ours, theirs / theirs.max(), atol=1e-4)


class _Plain(torch.nn.Module):
    """The network of a CAM as other libraries want it: photos to logits."""

    def __init__(self, model: Cam) -> None:
        super().__init__()
        self.backbone, self.head = model.backbone, model.head

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.head(self.backbone(x).mean((2, 3)))
        return logits


def test_hidden_tiles_are_whole_and_drawn_per_photo() -> None:
    torch.manual_seed(0)
    hidden = hide(torch.ones(64, 3, 50, 50), 16, 0.3) == 0  # the last tiles are cut off at 50 px
    tiles = hidden[:, 0, :48, :48].reshape(64, 3, 16, 3, 16).permute(0, 1, 3, 2, 4).reshape(64, 9, 256)
    assert ((tiles.all(2)) | (~tiles.any(2))).all()
    assert tiles.all(2).float().mean() == pytest.approx(0.3, abs=0.06)
    assert not torch.equal(hidden[0], hidden[1])
    assert torch.equal(hidden[:, 0], hidden[:, 2])


def test_nothing_is_hidden_when_a_network_is_asked_for_a_map() -> None:
    model = _build("has").eval()
    with torch.no_grad():
        one, two = (model.explain(_photos(1), torch.tensor([1]))[0] for _ in range(2))
    assert torch.equal(one, two)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 1.0])
def test_a_pasted_box_leaves_the_share_it_says(share: float) -> None:
    torch.manual_seed(1)
    mixed, kept = paste(torch.zeros(2, 3, 40, 60), torch.ones(2, 3, 40, 60), share)
    assert 1 - float(mixed.mean()) == pytest.approx(kept, abs=1e-6)
    assert kept >= share - 1e-6  # a box that leaves the photo is smaller
    rows = mixed[0, 0].any(1).nonzero().flatten().tolist()
    assert rows == list(range(rows[0], rows[-1] + 1)) if rows else share == 1.0


def test_mixed_labels_follow_the_area() -> None:
    model = _build("cutmix").train()
    torch.manual_seed(5)
    same = model(_photos(), torch.ones(4, dtype=torch.int64))["class"]
    torch.manual_seed(5)
    mixed = model(_photos(), torch.tensor([1, 2, 1, 2]))["class"]
    assert same.isfinite()
    assert not torch.allclose(same, mixed)


@pytest.mark.parametrize(
    ("drop", "expected"),
    [
        pytest.param(1.0, [1.0, 2.0, 0.0], id="the strongest place is hidden"),
        pytest.param(0.0, None, id="every place is stressed by its attention"),
    ],
)
def test_adl_hides_or_stresses(drop: float, expected: list[float] | None) -> None:
    layer = AttentionDropout(AdlSettings(drop=drop, gamma=0.9)).train()
    x = torch.tensor([1.0, 2.0, 4.0]).view(1, 1, 1, 3)
    found = layer(x).flatten()
    assert torch.allclose(found, torch.tensor(expected) if expected else x.flatten() * x.flatten().sigmoid())
    assert torch.equal(layer.eval()(x), x)


def test_the_second_branch_does_not_see_what_the_first_one_found() -> None:
    model: Acol = _build("acol").eval()
    features = torch.rand(2, model.backbone.channels, 6, 6)
    seen: list[torch.Tensor] = []
    model.second.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        first, _ = model._class_maps(features, torch.tensor([1, 2]))
    own = unit_range(torch.stack([first[0, 1], first[1, 2]]))
    erased = (seen[0] == 0).all(1)
    assert torch.equal(erased, own >= 0.7)
    assert 0 < erased.float().mean() < 1


def test_sure_pixels_are_above_and_below_the_levels() -> None:
    maps = torch.linspace(0, 1, 100).reshape(1, 10, 10)
    mask = sure(maps, 0.1, 0.65)
    assert torch.equal(mask == 1, maps > 0.65)
    assert torch.equal(mask == 0, maps < 0.1)
    assert ((mask == UNSURE) == ((maps >= 0.1) & (maps <= 0.65))).all()


def test_where_few_pixels_are_sure_the_level_falls() -> None:
    maps = torch.full((1, 10, 10), 0.2)
    maps[0, 0, :5] = 0.9  # five pixels, fewer than 30
    maps[0, 1, :5] = 0.65  # above 0.7 x 0.9
    assert int((sure(maps, 0.1, 0.7) == 1).sum()) == 10


def test_unsure_pixels_cost_nothing() -> None:
    mask = torch.full((1, 4, 4), UNSURE)
    logits = torch.randn(1, 4, 4, requires_grad=True)
    loss = sure_cross_entropy(logits, mask)
    loss.backward()
    assert loss.item() == 0
    assert logits.grad is not None
    assert not logits.grad.any()
    mask[0, 0, 0] = 1.0
    assert sure_cross_entropy(logits, mask).item() > 0


def test_photos_without_an_object_guide_no_branch() -> None:
    model = _build("spg").train()
    losses = model(_photos(), torch.full((4,), NEGATIVE))
    assert [float(losses[name].detach()) for name in ("b1", "b2", "c")] == [0, 0, 0]
    assert float(losses["class"].detach()) > 0


def test_attention_of_cls_is_what_the_block_computes() -> None:
    """Against the weights that timm's own attention would use, read off by values that are unit vectors."""
    model: Any = _build("tscam").eval()
    attn = model.vit.blocks[0].attn
    x = torch.randn(2, 17, attn.num_heads * attn.head_dim)
    qkv = attn.qkv(x).reshape(2, 17, 3, attn.num_heads, attn.head_dim).permute(2, 0, 3, 1, 4)
    q, k = attn.q_norm(qkv[0]), attn.k_norm(qkv[1])
    values = torch.eye(17).expand(2, attn.num_heads, 17, 17)
    weights = torch.nn.functional.scaled_dot_product_attention(q, k, values, scale=attn.scale)
    assert torch.allclose(cls_attention(attn, x, 1), weights[:, :, 0, 1:], atol=1e-5)


def test_tscam_couples_meaning_with_attention_of_all_blocks() -> None:
    model: Any = _build("tscam").eval()
    photos = _photos(1)
    inputs: list[torch.Tensor] = []
    hooks = [b.attn.register_forward_pre_hook(lambda _, x: inputs.append(x[0])) for b in model.vit.blocks]
    with torch.no_grad():
        maps, _ = model.explain(photos, torch.tensor([2]))
        semantic = model._class_maps(normalise(photos, model.mean, model.std))[0, 2]
    for hook in hooks:
        hook.remove()
    blocks = len(model.vit.blocks)
    attention = sum(
        cls_attention(b.attn, x, 1)[0].mean(0) for b, x in zip(model.vit.blocks, inputs[:blocks], strict=True)
    )
    assert torch.allclose(maps[0], semantic * torch.as_tensor(attention).reshape(semantic.shape), atol=1e-5)
    assert not model._seen


def test_a_transformer_can_be_asked_at_another_size_than_it_was_trained() -> None:
    model = _build("tscam", photos__eval_size=96).eval()
    with torch.no_grad():
        maps, _ = model.explain(torch.zeros(1, 3, 96, 96, dtype=torch.uint8), torch.tensor([1]))
    assert maps.shape == (1, 6, 6)


def test_layer_maps_weight_each_place_by_its_own_positive_gradient() -> None:
    activation = torch.tensor([[[[1.0, 2.0]], [[3.0, 4.0]]]])
    gradient = torch.tensor([[[[1.0, -1.0]], [[0.5, 2.0]]]])
    assert layer_map(activation, gradient).tolist() == [[[2.5, 8.0]]]


def test_early_stages_are_lifted_and_the_largest_wins() -> None:
    early, late = torch.tensor([[[1.0, 0.0], [0.0, 0.0]]]), torch.tensor([[[0.5]]])
    fused = fuse([early, late])
    assert torch.allclose(fused, torch.ones(1, 2, 2))  # the late stage is 1 everywhere
    none = fuse([early, torch.zeros(1, 1, 1)])
    assert none.flatten().tolist() == [pytest.approx(np.tanh(2.0)), 0, 0, 0]


def test_level_sets_of_the_centre_are_boxes_of_one_shape() -> None:
    found = pyramid(torch.tensor([0.5, 0.25])).numpy()
    assert found.max() <= 1
    assert found.min() == 0
    ys, xs = np.nonzero(found > 1 - 0.25 * 0.999)  # a quarter of the way: exactly the shape itself
    assert (xs.min(), xs.max(), ys.min(), ys.max()) == (56, 167, 84, 139)
    assert (found > 1 - 0.25 * 0.999).sum() == 112 * 56


@pytest.mark.parametrize(
    ("method", "changes", "message"),
    [
        pytest.param("cam", {"backbone__name": "test_vit"}, "cam with the encoder 'test_vit'", id="cam"),
        pytest.param("adl", {"backbone__name": "test_vit"}, "adl with the encoder 'test_vit'", id="adl"),
        pytest.param("tscam", {"backbone__name": "test_resnet"}, "no vision transformer", id="tscam"),
        pytest.param("sst", {"backbone__name": "test_resnet"}, "no vision transformer", id="sst"),
        pytest.param("tscam", {"photos__size": 60}, "photos.size = 60: expected a multiple", id="patches"),
        pytest.param(
            "sst", {"photos__eval_size": 60}, "photos.eval_size = 60: expected a multiple", id="side"
        ),
        pytest.param(
            "cam", {"backbone__name": "resnet51"}, "encoder 'resnet51' is not a timm model", id="name"
        ),
    ],
)
def test_method_and_backbone_that_do_not_go_together_are_told(
    method: str, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        _build(method, **changes)


def test_a_method_that_does_not_exist_is_told() -> None:
    with pytest.raises(UsageError, match="method 'grad': expected one of dips, cam, has"):
        method_class("grad")
