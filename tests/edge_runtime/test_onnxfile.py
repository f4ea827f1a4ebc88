"""Reading a model's metadata without onnx agrees with onnx; a sealed file shows every later change."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx
import pytest

from edge_runtime.contract import METADATA_KEY, ModelContract
from edge_runtime.errors import ModelError
from edge_runtime.modelfile import ASSETS
from edge_runtime.onnxfile import SEAL_KEY, check_seal, read_contract, read_properties, seal
from tests.edge_runtime.conftest import CONTRACT, with_contract, write_brightness_model

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    path = write_brightness_model(tmp_path / "m.onnx")
    path.write_bytes(seal(path.read_bytes()))
    return path


@pytest.mark.parametrize(
    "properties",
    [
        pytest.param({}, id="none"),
        pytest.param({"a": "b"}, id="one"),
        pytest.param({"a": "", "": "b", "größe": "ß" * 300}, id="empty, beyond ASCII, longer than one byte"),
    ],
)
def test_properties_are_those_onnx_reads(tmp_path, properties):
    path = write_brightness_model(tmp_path / "m.onnx", metadata=None)
    model = onnx.load(str(path))
    onnx.helper.set_model_props(model, properties)
    onnx.save(model, str(path))
    assert read_properties(path) == properties


def test_the_contract_of_the_demo_model_is_read_as_onnx_reads_it():
    demo = ASSETS / "demo.onnx"
    stored = {entry.key: entry.value for entry in onnx.load(str(demo)).metadata_props}
    assert read_contract(demo) == ModelContract.from_json(stored[METADATA_KEY], "demo")
    assert read_properties(demo) == stored


def test_a_sealed_file_is_the_same_model_and_passes(sealed):
    check_seal(sealed)
    assert read_contract(sealed) == CONTRACT
    onnx.checker.check_model(onnx.load(str(sealed)), full_check=True)


def test_a_file_that_was_never_sealed_passes(model_path):
    check_seal(model_path)


def test_sealing_twice_changes_nothing(sealed):
    once = sealed.read_bytes()
    assert seal(once) == once


def test_sealing_after_an_edit_takes_the_old_seal_out(sealed):
    model = onnx.load(str(sealed))
    model.doc_string = "edited on purpose"
    sealed.write_bytes(seal(model.SerializeToString()))
    check_seal(sealed)
    assert [entry.key for entry in onnx.load(str(sealed)).metadata_props].count(SEAL_KEY) == 1


def edit_contract(model: onnx.ModelProto) -> None:
    entry = next(entry for entry in model.metadata_props if entry.key == METADATA_KEY)
    entry.value = with_contract(decision_threshold=0.1).to_json()


def edit_weight(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].float_data[0] += 1.0


def add_property(model: onnx.ModelProto) -> None:
    model.metadata_props.add(key="note", value="after the seal")


@pytest.mark.parametrize("edit", [edit_contract, edit_weight, add_property])
def test_a_model_edited_by_hand_is_refused_in_one_line(sealed, edit):
    model = onnx.load(str(sealed))
    edit(model)
    onnx.save(model, str(sealed))
    with pytest.raises(ModelError, match=r"changed after it was exported .*export the run again") as caught:
        read_contract(sealed)
    assert str(sealed) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(lambda whole: whole[: len(whole) // 2], id="cut in the middle"),
        pytest.param(lambda whole: whole[:-1], id="cut by one byte"),
        pytest.param(lambda whole: b"hello, I am not a model", id="text"),
        pytest.param(lambda whole: bytes(2000), id="zeros"),
        pytest.param(lambda whole: b"\xff" * 2000, id="ones"),
    ],
)
def test_what_is_no_whole_model_is_refused_in_one_line(tmp_path, sealed, content):
    bad = tmp_path / "bad.onnx"
    bad.write_bytes(content(sealed.read_bytes()))
    with pytest.raises(ModelError, match="damaged, truncated or not ONNX") as caught:
        read_contract(bad)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ModelError, match="cannot be read: No such file"):
        read_contract(tmp_path / "none.onnx")
