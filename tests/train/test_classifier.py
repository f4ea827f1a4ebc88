"""The frozen classifier: fitting on image labels, freezing, saving, and the gradient it passes on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from edge_runtime.errors import ModelError
from train.classifier import Classifier, build_classifier, load_classifier, save_classifier
from train.data.dataset import load_dataset
from train.distributed import World
from train.sst import SelfSupervisedTransformer
from train.teach import classifier_accuracy, fine_tune, fit_linear
from train.tensors import stack_images

from .tiny import photo, tiny_config, write_tiny_set

if TYPE_CHECKING:
    from pathlib import Path

    from train.config import TrainConfig
    from train.data.types import Dataset

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return load_dataset(write_tiny_set(tmp_path_factory.mktemp("set"), train=8))


def _fine_tuned(dataset: Dataset, config: TrainConfig, workers: int = 1) -> tuple[Classifier, float]:
    torch.manual_seed(0)
    classifier = build_classifier(config, 2, None)
    loss = fine_tune(classifier, dataset.splits["train"], config, CPU, World(), workers)
    return classifier, loss


def _state_equal(a: Classifier, b: Classifier) -> bool:
    return all(torch.equal(v, b.state_dict()[k]) for k, v in a.state_dict().items())


def test_a_cnn_learns_the_image_labels_and_is_frozen_then(dataset: Dataset) -> None:
    fast: dict[str, Any] = {
        f"classifier__{k}": v for k, v in (("epochs", 20), ("lr", 0.01), ("batch_size", 8))
    }
    classifier, loss = _fine_tuned(dataset, tiny_config(localizer__encoder="test_resnet", **fast))
    assert loss < 0.3 < np.log(2)
    assert classifier_accuracy(classifier, dataset.splits["train"], 1) >= 90
    assert not classifier.training
    assert not any(p.requires_grad for p in classifier.parameters())


def test_fine_tuning_is_the_same_whatever_the_number_of_threads_that_decode(dataset: Dataset) -> None:
    config = tiny_config()
    assert _state_equal(_fine_tuned(dataset, config, 1)[0], _fine_tuned(dataset, config, 3)[0])


def test_a_corrupt_photo_in_the_middle_of_an_epoch_is_skipped_and_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    dataset = load_dataset(write_tiny_set(tmp_path))
    (tmp_path / "train" / "thing" / "2.png").write_bytes(b"\x89PNG")
    _, loss = _fine_tuned(dataset, tiny_config())
    assert np.isfinite(loss)
    assert [r.getMessage() for r in caplog.records if "thing/2.png" in r.getMessage()]


def test_a_saved_classifier_answers_the_same(dataset: Dataset, tmp_path: Path) -> None:
    config = tiny_config()
    classifier, loss = _fine_tuned(dataset, config)
    save_classifier(tmp_path / "c.safetensors", classifier, {"train_loss": loss})
    found, meta = load_classifier(tmp_path / "c.safetensors", config, 2, None)
    assert meta == {"train_loss": loss}
    shown = [photo(k, k % 2 == 1) for k in range(3)]
    assert torch.equal(found.probabilities(shown), classifier.probabilities(shown))


def test_a_classifier_of_another_network_is_refused(dataset: Dataset, tmp_path: Path) -> None:
    classifier = build_classifier(tiny_config(), 2, None)
    save_classifier(tmp_path / "c.safetensors", classifier, {})
    for config, classes in ((tiny_config(localizer__encoder="test_resnet"), 2), (tiny_config(), 3)):
        with pytest.raises(ModelError, match=r"does not fit the run's config\.toml"):
            load_classifier(tmp_path / "c.safetensors", config, classes, None)


def test_probabilities_do_not_depend_on_the_batch() -> None:
    torch.manual_seed(0)
    classifier = build_classifier(tiny_config(), 3, None).freeze()
    shown = [photo(k, True) for k in range(5)]
    together, alone = classifier.probabilities(shown, batch=2), classifier.probabilities(shown[4:])
    assert together.shape == (5, 3)
    torch.testing.assert_close(together.sum(1), torch.ones(5))
    torch.testing.assert_close(together[4:], alone, atol=1e-3, rtol=0)


@pytest.fixture(scope="module")
def sst() -> SelfSupervisedTransformer:
    torch.manual_seed(0)
    return SelfSupervisedTransformer(tiny_config().sst, CPU)


def _linear(sst: SelfSupervisedTransformer) -> tuple[Classifier, float]:
    config = tiny_config(classifier__kind="linear", classifier__size=64)
    classifier = build_classifier(config, 2, sst)
    batch = stack_images([photo(k, k % 2 == 1)[:, :64] for k in range(12)])
    _, features = sst(batch)
    return classifier, fit_linear(classifier, features, torch.arange(12) % 2)


def test_a_linear_head_fits_the_features_and_says_its_final_loss(sst: SelfSupervisedTransformer) -> None:
    classifier, loss = _linear(sst)
    assert loss < 0.2 < np.log(2)
    guess = classifier.probabilities([photo(k, k % 2 == 1)[:, :64] for k in range(12)]).argmax(1)
    assert guess.tolist() == [0, 1] * 6


def test_a_linear_head_is_saved_without_the_transformer(
    sst: SelfSupervisedTransformer, tmp_path: Path
) -> None:
    classifier, _ = _linear(sst)
    save_classifier(tmp_path / "c.safetensors", classifier, {})
    assert (tmp_path / "c.safetensors").stat().st_size < 20_000
    config = tiny_config(classifier__kind="linear", classifier__size=64)
    found, _ = load_classifier(tmp_path / "c.safetensors", config, 2, sst)
    shown = [photo(1, True)[:, :64]]
    assert torch.equal(found.probabilities(shown), classifier.probabilities(shown))


@pytest.mark.parametrize("kind", ["cnn", "linear"])
def test_a_frozen_classifier_passes_the_gradient_to_its_input(
    kind: str, sst: SelfSupervisedTransformer
) -> None:
    settings: dict[str, Any] = {"classifier__kind": kind}
    classifier = build_classifier(tiny_config(**settings), 2, sst).freeze()
    if kind == "linear":
        torch.nn.init.normal_(classifier.net.head.weight)  # type: ignore[arg-type, union-attr]
    x = torch.randn(2, 3, 64, 64, requires_grad=True)
    classifier(x)[:, 0].sum().backward()
    assert x.grad is not None
    assert x.grad.abs().sum() > 0
    assert all(p.grad is None for p in classifier.parameters())
