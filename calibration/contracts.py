"""The contract inside a model that is being worked on: read from a ModelProto, written with a seal.

ModelProto ──contract_of──▶ ModelContract      ModelProto + ModelContract ──sealed_bytes──▶ content of a file
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnx import helper

from edge_runtime.contract import METADATA_KEY, ModelContract
from edge_runtime.onnxfile import SEAL_KEY, seal

if TYPE_CHECKING:
    from onnx import ModelProto


def contract_of(model: ModelProto, origin: str) -> ModelContract:
    """What the model says about itself; ModelError naming `origin` without a valid contract."""
    text = next((p.value for p in model.metadata_props if p.key == METADATA_KEY), None)
    return ModelContract.from_json(text, origin)


def sealed_bytes(model: ModelProto, contract: ModelContract) -> bytes:
    """Content of a file: the model with this contract in its metadata, and a seal that shows later edits."""
    kept = {p.key: p.value for p in model.metadata_props if p.key not in (METADATA_KEY, SEAL_KEY)}
    helper.set_model_props(model, {**kept, METADATA_KEY: contract.to_json()})
    return seal(model.SerializeToString(deterministic=True))
