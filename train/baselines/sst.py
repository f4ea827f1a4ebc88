"""The self-supervised transformer's attention as it is: what DiPS starts from, without its training.

"best" is the head whose maps fit the boxes of val best, "last" the mean of all heads, which no box chose.
The class comes from a linear layer on CLS features, fitted on image labels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import cv2
import numpy as np
import torch
from torch import Tensor

from edge_runtime.errors import UsageError
from train.baselines.base import Baseline
from train.baselines.config import BaselineConfig, MethodSettings
from train.classifier import Classifier, SstLinear
from train.config import PAPER as DIPS_PAPER
from train.config import SstConfig
from train.config_limits import INTO_ONE
from train.epochs import Outcome
from train.harvest import DONE, harvested
from train.selection import BY_PROTOCOL
from train.sst import SelfSupervisedTransformer
from train.teach import fit_linear
from train.validate import judge_predictions

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from train.attention_store import AttentionStore
    from train.baselines.base import Weights
    from train.data.types import Dataset
    from train.shared import Run

MEAN = 0  # index of the mean of all heads among the maps


@dataclass(frozen=True)
class SstSettings(MethodSettings):
    """How a map is scaled."""

    clip_quantile: float = 0.95  # as `sst.clip_quantile` of DiPS; 1.0: by its maximum


class RawAttention(Baseline):
    """A frozen transformer, the number of a head, and a linear layer for the class."""

    Settings = SstSettings
    RULES: ClassVar[Mapping[str, str]] = {"clip_quantile": INTO_ONE}
    RESIZE = cv2.INTER_LINEAR
    LEARNS = False
    EDGE: ClassVar[Mapping[str, Any]] = {"backbone.name": SstConfig().name, "photos.eval_size": 448}
    PAPER: ClassVar[Mapping[str, Any]] = {
        "backbone.name": DIPS_PAPER["sst.name"],
        "photos.eval_size": 224,
        "baseline.clip_quantile": 1.0,
    }

    def __init__(
        self, config: BaselineConfig, classes: int, negative: int | None, *, pretrained: bool = True
    ) -> None:
        """The transformer's own weights are not part of a checkpoint: it always needs them.

        Raises:
            UsageError: no plain ViT, foreign weights, or a side that its patches do not divide.
        """
        super().__init__(config, classes, negative, pretrained=pretrained)
        assert isinstance(config.baseline, SstSettings)
        settings = SstConfig(
            name=config.backbone.name,
            weights=config.backbone.weights,
            size=config.photos.eval_size,
            maps="attention",
            clip_quantile=config.baseline.clip_quantile,
        )
        try:
            with torch.random.fork_rng():
                torch.manual_seed(config.seed)  # weights "none" must be the same ones again
                self._sst = SelfSupervisedTransformer(settings, torch.device("cpu"))
        except UsageError as error:
            raise UsageError(str(error).replace("sst.size", "photos.eval_size")) from error
        self.mean, self.std = self._sst.mean, self._sst.std
        self.linear = SstLinear(self._sst, classes)
        self.head: Tensor
        self.register_buffer("head", torch.tensor(MEAN))

    def explain(self, rgb_u8: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        self._sst.to(rgb_u8.device)
        attention, features = self._sst(rgb_u8)
        maps = attention[:, int(self.head)].clone()  # out of inference mode
        return maps, self.linear.classify(features.clone()).softmax(1)

    def parameter_count(self) -> int:
        return super().parameter_count() + self._sst.parameter_count()

    def fit(self, run: Run[BaselineConfig]) -> tuple[Weights, Outcome]:
        train, val = run.dataset.splits["train"], run.dataset.splits["val"]
        photos = [*train, *val]
        self._sst.to(run.device)
        store = harvested(run, self._sst)
        good = [i for i in range(len(train)) if store.done[i] == DONE]
        features = torch.from_numpy(store.features[good].astype("float32"))
        classifier = Classifier(self.linear, self.mean, self.std, self.config.photos.eval_size)
        fit_linear(classifier, features, torch.tensor([train[i].label for i in good]))
        head = self._best_head(run.dataset, store) if self.config.select != "accuracy" else None
        last = {k: v.clone() for k, v in self.state_dict().items()} | {"head": torch.tensor(MEAN)}
        best = last | {"head": torch.tensor(MEAN if head is None else head)}
        selection = "nothing" if head is None else BY_PROTOCOL.words
        skipped = [image.image_id for i, image in enumerate(photos) if store.done[i] != DONE]
        return {"best": best, "last": last}, Outcome([], selection, 0, skipped)

    def _best_head(self, dataset: Dataset, store: AttentionStore) -> int | None:
        """The map that fits the boxes of val best, the mean of all heads if equal; None without boxes."""
        val, first = dataset.splits["val"], len(dataset.splits["train"])
        read = [i for i in range(len(val)) if store.done[first + i] == DONE]
        features = torch.from_numpy(store.features[[first + i for i in read]].astype("float32"))
        with torch.no_grad():
            probs = self.linear.classify(features).softmax(1).numpy() if read else np.zeros((0, self.classes))

        def predictions(head: int) -> Iterator[tuple[int, NDArray[np.float32], NDArray[np.float32]]]:
            for row, i in enumerate(read):
                yield i, np.asarray(store.maps[first + i, head], np.float32), probs[row]

        fits = [
            judge_predictions(predictions(head), val, None, dataset.negative).boxes
            for head in range(self._sst.maps)
        ]
        known = [-1.0 if fit is None else fit for fit in fits]
        return None if not fits or fits[0] is None else int(np.argmax(known))
