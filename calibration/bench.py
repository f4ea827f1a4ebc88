"""The val frames a candidate is measured on, and what fp32 says about them.

fp32 ModelProto + frames ──Bench──▶ reference answers ──measure(candidate)──▶ Tried: thresholds, agreement
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from calibration.agreement import Agreement, Answers, agreement, ask
from calibration.contracts import contract_of
from calibration.rescore import rescore
from edge_runtime.backends.onnx_cpu import OnnxCpu

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray
    from onnx import ModelProto

    from edge_runtime.contract import ModelContract


@dataclass(frozen=True)
class Tried:
    """A candidate with the thresholds that suit it (`contract`), and how it compares with fp32."""

    model: ModelProto
    contract: ModelContract
    answers: Answers
    agreement: Agreement


@dataclass(frozen=True)
class Bench:
    """Frames at the network's size, (H, W, 3) uint8 each, and fp32's `reference` answers to them.

    `present`: per frame, is an object in it? None when unknown. `threads`: of ONNX Runtime.
    """

    contract: ModelContract
    frames: Sequence[NDArray[np.uint8]]
    reference: Answers
    present: tuple[bool, ...] | None
    threads: int | None

    @classmethod
    def of(
        cls,
        fp32: ModelProto,
        frames: Sequence[NDArray[np.uint8]],
        present: Sequence[bool] | None = None,
        threads: int | None = None,
    ) -> Bench:
        """Ask fp32 about every frame."""
        reference = _ask(fp32, frames, threads, as_written=False)
        known = None if present is None else tuple(present)
        return cls(contract_of(fp32, "the fp32 model"), frames, reference, known, threads)

    def part(self, most: int) -> Bench:
        """At most `most` of the frames, evenly spread."""
        count = min(most, len(self.frames))
        at = np.unique(np.linspace(0, len(self.frames) - 1, count).round().astype(int)).tolist()
        return dataclasses.replace(
            self,
            frames=[self.frames[i] for i in at],
            reference=Answers(self.reference.maps[at], self.reference.class_probs[at]),
            present=None if self.present is None else tuple(self.present[i] for i in at),
        )

    def measure(
        self,
        candidate: ModelProto,
        *,
        as_written: bool = True,
        rescored: bool = True,
        step: Callable[[], None] = lambda: None,
    ) -> Tried:
        """Run a candidate, choose its thresholds and compare.

        Args:
            as_written: without the optimizations of ONNX Runtime, which shift int8 results by quantization
                steps (its issue 24711) that TensorRT does not make. False for a file that flies on a CPU.
            rescored: False keeps fp32's thresholds, which saves the time to choose.
        """
        answers = _ask(candidate, self.frames, self.threads, as_written=as_written, step=step)
        contract = self.contract
        if rescored:
            contract = rescore(self.reference, answers, contract, self.present)
        found = agreement(self.reference, answers, self.contract, contract)
        return Tried(candidate, contract, answers, found)


def _ask(
    model: ModelProto,
    frames: Sequence[NDArray[np.uint8]],
    threads: int | None,
    *,
    as_written: bool,
    step: Callable[[], None] = lambda: None,
) -> Answers:
    data = model.SerializeToString()
    backend = OnnxCpu(Path("candidate.onnx"), threads, data=data, optimize=not as_written)
    try:
        return ask(backend.infer, frames, step)
    finally:
        backend.close()
