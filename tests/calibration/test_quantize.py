"""One fp32 file to three int8 files: methods ranked, thresholds chosen again, ruined layers left float."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest
from onnx import numpy_helper

from calibration.agreement import Agreement
from calibration.bench import Bench
from calibration.cpu_int8 import cpu_tensors
from calibration.families import CpuFiles, Material, TensorRtFiles
from calibration.fitting import Int8Settings, gate
from calibration.fp16 import to_fp16
from calibration.placement import plan
from calibration.quantize import Int8Files, observe, quantize_model, read_fp32
from calibration.ranges import tensor_range
from calibration.search import Trial, methods_named, ranked
from edge_runtime.backends.onnx_cpu import OnnxCpu
from edge_runtime.errors import ModelError, UsageError
from edge_runtime.modelfile import sha256_of
from edge_runtime.onnxfile import read_contract
from edge_runtime.presence import PresenceCalibration
from tests.calibration.finder import PRESENT, finder, scenes
from tests.edge_runtime.conftest import CONTRACT, with_contract

if TYPE_CHECKING:
    from pathlib import Path

    from calibration.agreement import Answers
    from calibration.families import Family
    from edge_runtime.contract import ModelContract

FITTED = with_contract(presence_calibration=PresenceCalibration(-1.0, 1.5, 0.5, 40, 30))
SETTINGS = Int8Settings(threads=1, seed=7)
GOOD = Agreement(100, 0.99, 0.9, 0, 1e-3, 0.1, 0.01)


def quantized(*, ruined: bool = False, settings: Int8Settings = SETTINGS, **options: object) -> Int8Files:
    data = finder(FITTED, ruined=ruined).SerializeToString()
    return quantize_model(data, scenes(), scenes(), settings, present=PRESENT, **options)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def good() -> Int8Files:
    return quantized()


@pytest.fixture(scope="module")
def ruined() -> Int8Files:
    return quantized(ruined=True)


def test_three_files_say_what_they_are_for_and_what_they_come_from(good: Int8Files, tmp_path: Path) -> None:
    (tmp_path / "fp32.onnx").write_bytes(finder(FITTED).SerializeToString())
    assert [file.suffix for file in good.files] == ["int8", "int8-trt8", "int8-cpu"]
    for file, target in zip(good.files, ("tensorrt10", "tensorrt8", "cpu"), strict=True):
        path = tmp_path / f"{file.suffix}.onnx"
        path.write_bytes(file.content())
        contract = read_contract(path)  # the seal is whole
        assert (contract.precision, contract.target) == ("int8", target)
        assert contract.calibration_method == good.table.method == good.trials[0].method
        assert contract.fp32_sha256 == good.table.fp32_sha256 == sha256_of(tmp_path / "fp32.onnx")
        assert contract.metrics["versus_fp32"]["mean_iou"] == round(file.agreement.mean_iou, 6)
        fitted = contract.presence_calibration
        assert fitted is not None
        assert (fitted.bias, fitted.map_weight, fitted.class_weight) == pytest.approx(
            (-1, 1.5, 0.5), abs=0.05
        )
        assert contract.metrics["calibration"] == {"frames": 16, "seed": 7, "float_layers": 0}
        maps, probs = OnnxCpu(path, 1).infer(scenes()[0][None])
        assert maps.max() > 0.9
        assert probs.shape == (1, 2)


def test_a_network_that_takes_int8_well_keeps_every_layer_in_it(good: Int8Files) -> None:
    for file in good.files:
        assert file.float_layers == ()
        assert file.agreement.mean_iou == 1.0
        assert file.agreement.map_mean < 1e-4
    assert good.costs == ()
    assert [trial.method for trial in good.trials] != []
    assert {trial.method for trial in good.trials} == {"max", "percentile", "mse", "entropy"}


def test_the_layer_that_int8_ruins_is_left_float_and_no_other(ruined: Int8Files) -> None:
    assert ruined.trials[0].agreement.mean_iou < 0.5
    typed, weak, cpu = ruined.files
    assert typed.float_layers == weak.float_layers == ruined.table.float_layers == ("pw",)
    assert cpu.float_layers == ruined.table.cpu_float_layers
    assert set(cpu.float_layers) == {"dw", "pw"}  # here what "dw" writes is int8 too
    assert all(file.agreement.mean_iou == 1.0 for file in ruined.files)
    assert ruined.costs[0].layer == "pw"
    assert ruined.costs[0].map_mean > 100 * ruined.costs[1].map_mean
    assert [cost.weights for cost in ruined.costs if cost.layer == "stem"] == [216]


def test_missed_aims_are_a_warning_while_the_gate_holds(caplog: pytest.LogCaptureFixture) -> None:
    made = quantized(settings=dataclasses.replace(SETTINGS, method="max", aim_map_mean=1e-9))
    assert made.files[0].float_layers == ()  # float layers that do not help are not left float
    assert "int8 for TensorRT: mean map error is" in caplog.text
    assert "even with 2 of 4 layers float" in caplog.text


def test_a_gate_of_the_caller_is_asked_about_every_file_and_can_refuse() -> None:
    asked: list[ModelContract] = []

    def accept(contract: ModelContract, answers: Answers) -> str | None:
        assert len(answers.maps) == 16
        asked.append(contract)
        return "the photos say no" if contract.target == "cpu" else None

    with pytest.raises(ModelError, match="int8 for CPUs: the photos say no, even with 2 of 4 layers float"):
        quantized(settings=dataclasses.replace(SETTINGS, method="max"), accept=accept)
    assert [contract.target for contract in asked[:3]] == ["tensorrt10", "tensorrt8", "cpu"]
    assert all(contract.precision == "int8" for contract in asked)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param({}, None, id="good"),
        pytest.param({"mean_iou": 0.969}, "IoU with fp32 is 0.969, expected at least 0.97", id="boxes"),
        pytest.param({"presence_flips": 1}, None, id="one flip in a hundred"),
        pytest.param({"presence_flips": 2}, "on 2 of 100 frames, 1 may", id="two flips in a hundred"),
        pytest.param({"presence_flips": 1, "frames": 8}, None, id="one flip is always allowed"),
        pytest.param({"presence_flips": 3, "frames": 300}, None, id="one percent"),
        pytest.param({"presence_flips": 4, "frames": 300}, "4 of 300", id="more than one percent"),
    ],
)
def test_gate(change: dict[str, float], said: str | None) -> None:
    reason = gate(dataclasses.replace(GOOD, **change), SETTINGS)  # type: ignore[arg-type]
    assert reason is None if said is None else said in str(reason)


@pytest.mark.parametrize(
    ("first", "second", "best"),
    [
        pytest.param((0.99, 5e-3), (0.95, 1e-3), "a", id="boxes come first"),
        pytest.param((0.990, 5e-3), (0.989, 1e-3), "b", id="equal boxes: the smaller map error"),
        pytest.param((0.990, 1e-3), (0.989, 5e-3), "a", id="both better"),
    ],
)
def test_methods_are_ranked_by_boxes_then_by_maps(
    first: tuple[float, float], second: tuple[float, float], best: str
) -> None:
    trials = [
        Trial(name, {}, dataclasses.replace(GOOD, mean_iou=iou, map_mean=error))
        for name, (iou, error) in (("a", first), ("b", second))
    ]
    assert ranked(trials)[0].method == ranked(trials[::-1])[0].method == best


def test_methods_by_name() -> None:
    assert methods_named("auto") == ("max", "percentile", "mse", "entropy")
    assert methods_named("percentile-99.9") == ("percentile-99.9",)
    with pytest.raises(UsageError, match="'minmax': expected one of max"):
        methods_named("minmax")


def test_a_bench_measures_the_model_itself_as_equal_and_its_parts_are_spread() -> None:
    model = finder()
    bench = Bench.of(model, scenes(), PRESENT, threads=1)
    same = bench.measure(model)
    assert same.agreement.mean_iou == 1.0
    assert same.agreement.map_max < 1e-5
    assert same.contract == CONTRACT
    part = bench.part(4)
    assert part.present == (True, True, True, False)  # frames 0, 5, 10, 15
    assert (part.reference.maps == bench.reference.maps[[0, 5, 10, 15]]).all()
    assert part.measure(to_fp16(model)).agreement.frames == 4
    assert len(bench.part(100).frames) == 16


def test_thresholds_stay_those_of_fp32_where_nothing_is_chosen_again() -> None:
    model, quieter = finder(), finder()
    bias = next(t for t in quieter.graph.initializer if t.name == "head_b")
    bias.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(bias) - 11.0, "head_b"))
    bench = Bench.of(model, scenes(), PRESENT, threads=1)
    chosen, kept = bench.measure(quieter), bench.measure(quieter, rescored=False)
    assert chosen.contract != CONTRACT
    assert kept.contract == CONTRACT
    assert kept.agreement.map_mean == chosen.agreement.map_mean


@pytest.mark.parametrize(
    "family", [pytest.param(TensorRtFiles(), id="TensorRT"), pytest.param(CpuFiles(), id="CPUs")]
)
def test_what_is_tried_quickly_is_one_of_the_files(family: Family) -> None:
    model = finder()
    placement = plan(model)
    histograms = observe(model, (*placement.tensors, *cpu_tensors(model)), scenes(), 1)
    ranges = {name: tensor_range(histogram, "max") for name, histogram in histograms.items()}
    material = Material(model, placement, Trial("max", ranges, GOOD))
    built = family.build(material, placement.layers[:1])
    assert len(built) == len(family.targets)
    assert family.probe(material, placement.layers[:1]) == built[-1]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        pytest.param(b"hello", "not an ONNX file, or damaged", id="no model"),
        pytest.param(finder(with_contract(precision="fp16")).SerializeToString(), "fp16 file", id="fp16"),
    ],
)
def test_only_fp32_files_are_taken(data: bytes, said: str) -> None:
    with pytest.raises(ModelError, match=said) as caught:
        read_fp32(data, "tower.onnx")
    assert str(caught.value).startswith("tower.onnx: ")
