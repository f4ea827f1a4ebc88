"""One step of self-distillation: who learns, who follows, what stands still, what a bad number does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from tests.train.photos import write_photo
from train.distributed import World
from train.pretrain.config import resolve
from train.pretrain.crops import Crops, CropSource
from train.pretrain.distill import Distiller, NotFinite
from train.pretrain.schedule import pace_at

from .tiny_pretrain import tiny_config

if TYPE_CHECKING:
    from pathlib import Path

CPU = torch.device("cpu")
STEPS = 4  # per epoch; two epochs
PROTOTYPES = "head.prototypes"


def _distiller(**changes: object) -> Distiller:
    return Distiller(resolve(tiny_config(**changes), 16), STEPS, CPU, World(), "none")


@pytest.fixture
def crops(tmp_path: Path) -> list[Crops]:
    paths = [write_photo(tmp_path / f"{k}.png", seed=k) for k in range(3)]
    source = CropSource(paths, resolve(tiny_config(), 16))
    return [source(0, index) for index in range(3)]


def test_student_and_teacher_begin_alike() -> None:
    state = _distiller().state()
    names = [k.removeprefix("student.") for k in state if k.startswith("student.")]
    assert len(names) > 20
    assert all(torch.equal(state[f"student.{k}"], state[f"teacher.{k}"]) for k in names)


def test_the_teacher_is_the_average_of_its_students(crops: list[Crops]) -> None:
    distiller = _distiller()
    before = distiller.state()
    distiller.step(crops, 1, 0)
    after = distiller.state()
    momentum = pace_at(resolve(tiny_config(), 16), STEPS, 2 * STEPS).momentum
    for name, value in before.items():
        if not name.startswith("teacher."):
            continue
        student = after["student." + name.removeprefix("teacher.")]
        torch.testing.assert_close(after[name], momentum * value + (1 - momentum) * student)
        if value.ndim > 1:  # the last norm's bias and the like may stand still
            assert not torch.equal(student, value), name


def test_the_centre_moves_a_tenth_of_the_way_to_the_batch(crops: list[Crops]) -> None:
    distiller = _distiller()
    distiller.step(crops, 0, 0)
    first = distiller.state()["center"]
    assert 0 < first.abs().max() < 0.1 + 1e-6  # cosines, times 0.1


def test_prototypes_stand_still_in_the_first_epoch_only(crops: list[Crops]) -> None:
    distiller = _distiller()
    before = distiller.state()[f"student.{PROTOTYPES}"]
    distiller.step(crops, 0, STEPS - 1)
    assert torch.equal(distiller.state()[f"student.{PROTOTYPES}"], before)
    distiller.step(crops, 1, 0)
    assert not torch.equal(distiller.state()[f"student.{PROTOTYPES}"], before)


def test_the_same_step_again_gives_the_same_bits(crops: list[Crops]) -> None:
    one, two = _distiller(), _distiller()
    torch.manual_seed(123)  # whatever happened before must not matter
    two.step(crops, 0, 3)
    two.load_state(one.state())
    values = [d.step(crops, 1, 2) for d in (one, two)]
    assert values[0] == values[1]
    assert all(torch.equal(v, two.state()[k]) for k, v in one.state().items())


def test_a_resumed_optimiser_goes_on_to_the_bit(crops: list[Crops]) -> None:
    one, two = _distiller(), _distiller()
    for distiller, restart in ((one, False), (two, True)):
        distiller.step(crops, 0, 0)
        distiller.step(crops, 1, 0)
        if restart:
            two = _distiller(seed=5)
            two.load_state(distiller.state())
    two._config = one._config
    one.step(crops, 1, 1)
    two.step(crops, 1, 1)
    assert all(torch.equal(v, two.state()[k]) for k, v in one.state().items())


def test_a_loss_that_is_not_a_number_leaves_everything_as_it_was(crops: list[Crops]) -> None:
    distiller = _distiller()
    distiller._center[0] = torch.nan
    before = distiller.state()
    with pytest.raises(NotFinite, match="loss"):
        distiller.step(crops, 1, 0)
    after = distiller.state()
    assert before.keys() == after.keys()
    assert all(torch.equal(v, after[k]) for k, v in before.items() if k != "center")


def test_a_gradient_that_is_not_a_number_leaves_everything_as_it_was(crops: list[Crops]) -> None:
    distiller = _distiller()
    distiller._student.head.mlp[0].weight.register_hook(lambda grad: grad * torch.nan)
    before = distiller.state()
    with pytest.raises(NotFinite, match="gradient"):
        distiller.step(crops, 1, 0)
    assert all(torch.equal(v, before[k]) for k, v in distiller.state().items())


def test_without_small_crops_the_large_ones_teach_each_other(crops: list[Crops]) -> None:
    values = _distiller(crops__locals=0).step(crops, 0, 0)
    assert values["loss"] > 0


def test_the_backbone_carries_timms_names() -> None:
    distiller = _distiller()
    names = set(distiller.backbone())
    assert {"cls_token", "pos_embed", "patch_embed.proj.weight", "blocks.0.attn.qkv.weight"} <= names
    assert not [name for name in names if "prototypes" in name]
