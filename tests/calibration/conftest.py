"""An untrained edge network as its fp32 file, exported once for all tests of this room."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.calibration.encoders import export_encoder

if TYPE_CHECKING:
    from onnx import ModelProto


@pytest.fixture(scope="session")
def edge(tmp_path_factory: pytest.TempPathFactory) -> ModelProto:
    return export_encoder(tmp_path_factory.mktemp("edge"), "tf_efficientnet_lite0")
