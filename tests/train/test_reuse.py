"""A run that takes over stages of an earlier one: the same bits, nothing shared that is written to."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from safetensors.torch import save_file

import train.run
from edge_runtime.cli import main
from edge_runtime.errors import UsageError
from tests.train.baselines.tiny import tiny_baseline
from train.attention_store import TO_DO, AttentionStore
from train.data.dataset import load_dataset
from train.data.quarantine import read_quarantine
from train.reuse import STAGES, Plan, plan_reuse, reused
from train.run import train_run
from train.settings import to_toml
from train.weights import create_timm

from .tiny import tiny_config, write_tiny_set

if TYPE_CHECKING:
    from collections.abc import Callable

EARLY = ("attention.f16", "features.f16", "attention.done", "classifier.safetensors", "proposals.jsonl")
DECIDED = (*EARLY, "last.safetensors", "localizer.safetensors")
LINKED = ("attention.f16", "features.f16", "classifier.safetensors")


def _train(data: Path, out: Path, *reuse: Path, resume: bool = False, **changes: Any) -> Path:
    torch.manual_seed(hash(out) % 1000)  # whatever this process did before must not matter
    config = tiny_config(**changes)
    train_run(data, out, config, reuse=reuse, resume=resume, device="cpu", threads=1, workers=1)
    return out


def _facts(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "metrics.json").read_text())
    return found


def _differing(a: Path, b: Path) -> list[str]:
    return [name for name in DECIDED if (a / name).read_bytes() != (b / name).read_bytes()]


@pytest.fixture(autouse=True)
def _no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """The exact evaluation has tests of its own."""

    def evaluate_run(run: Any, _outcome: object, _proposals: object) -> None:
        (run.out / "metrics.json").write_text(json.dumps({**run.facts, "seconds": run.seconds}))

    monkeypatch.setattr(train.run, "evaluate_run", evaluate_run)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a photo of train that is cut short."""
    root = write_tiny_set(tmp_path_factory.mktemp("set"))
    bad = root / "train" / "thing" / "3.png"
    bad.write_bytes(bad.read_bytes()[:500])
    return root


@pytest.fixture(scope="module")
def earlier(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stopped before its figures."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    out = tmp_path_factory.mktemp("runs") / "earlier"
    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(train.run, "evaluate_run", stop)
        _train(data, out)
    return out


def test_a_run_that_takes_everything_ends_with_the_same_bits_and_says_so(
    data: Path, earlier: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("computed, not taken")

    kept = {name: (earlier / name).read_bytes() for name in EARLY}
    with caplog.at_level(logging.INFO), pytest.MonkeyPatch.context() as patch:
        for place in ("harvest.find_boxes", "run.fine_tune", "sst.SelfSupervisedTransformer.__call__"):
            patch.setattr(f"train.{place}", never)
        out = _train(data, tmp_path / "new", earlier)
    assert _differing(earlier, out) == []
    assert {name: (earlier / name).read_bytes() for name in EARLY} == kept
    (line,) = [r.getMessage() for r in caplog.records if r.getMessage().startswith("reuse: ")]
    assert line == "reuse: " + "; ".join(f"{stage} from {earlier}" for stage in STAGES)
    facts = _facts(out)
    assert facts["reused"] == {stage: str(earlier.resolve()) for stage in STAGES}
    assert facts["seconds"]["attention"] < 1
    bad = [read_quarantine(run / "quarantine.jsonl")["train/thing/3.png"] for run in (earlier, out)]
    assert bad[0] == bad[1]
    assert bad[0]["stage"] == "attention"


@pytest.mark.parametrize(
    ("changes", "taken", "why"),
    [
        pytest.param({"losses__crf": 1.0, "localizer__eval_size": 96}, STAGES, "", id="later settings only"),
        pytest.param(
            {"proposals__top_p": 1},
            STAGES[:2],
            "proposals anew (proposals.top_p is 3 there, 1 here)",
            id="top-P",
        ),
        pytest.param({"seed": 1}, (), "attention anew (seed is 0 there, 1 here)", id="seed, random weights"),
        pytest.param({"classifier__epochs": 2}, STAGES[:1], "classifier.epochs is 1", id="classifier"),
        pytest.param(
            {"negative_class": "background"}, (), "attention anew (negative_class is", id="negative"
        ),
        pytest.param({"localizer__encoder": "test_resnet"}, STAGES[:1], "localizer.encoder is", id="encoder"),
        pytest.param(
            {"localizer__encoder": "test_resnet", "classifier__encoder": "test_efficientnet"},
            STAGES[:1],
            "classifier.encoder is '' there",
            id="a classifier of its own, named now",
        ),
        pytest.param(
            {"sst__heads": "first4"},
            STAGES[1:2],
            "attention anew (sst.heads is 'all' there, 'first4' here); proposals anew (sst.heads is",
            id="attention",
        ),
        pytest.param(
            {"sst__clip_quantile": 0.9, "classifier__kind": "linear"},
            (),
            "classifier.kind is 'cnn'",
            id="all",
        ),
    ],
)
def test_only_what_would_be_the_same_is_taken(
    changes: dict[str, Any], taken: tuple[str, ...], why: str, data: Path, earlier: Path, tmp_path: Path
) -> None:
    plan = plan_reuse([earlier], tmp_path, tiny_config(**changes), load_dataset(data))
    assert tuple(plan.taken) == taken
    assert why in "; ".join(f"{stage} anew ({reason})" for stage, reason in plan.anew.items())
    assert {*plan.taken, *plan.anew} == set(STAGES)


@pytest.mark.slow
def test_a_classifier_taken_without_attention_ends_with_the_same_bits(
    data: Path, earlier: Path, tmp_path: Path
) -> None:
    changes: dict[str, Any] = {"sst__heads": "first4"}
    alone = _train(data, tmp_path / "alone", **changes)
    assert _differing(alone, _train(data, tmp_path / "new", earlier, **changes)) == []


@pytest.mark.slow
def test_another_seed_takes_the_attention_of_given_weights_and_ends_with_the_same_bits(
    data: Path, tmp_path: Path
) -> None:
    weights = tmp_path / "sst.safetensors"
    save_file(create_timm("test_vit", "none", "SST", num_classes=0, img_size=64).state_dict(), weights)
    first = _train(data, tmp_path / "first", sst__weights=str(weights))
    alone = _train(data, tmp_path / "alone", sst__weights=str(weights), seed=1)
    new = _train(data, tmp_path / "new", first, sst__weights=str(weights), seed=1)
    assert list(_facts(new)["reused"]) == ["attention"]
    assert _differing(alone, new) == []
    assert set(_differing(first, new)) == set(DECIDED) - {"attention.f16", "features.f16", "attention.done"}


def test_each_stage_comes_from_the_first_run_that_has_it(data: Path, earlier: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(earlier, other)
    (other / "config.toml").write_text(to_toml(tiny_config(sst__heads="first4")))
    config = tiny_config(sst__heads="first4", proposals__top_p=1)
    plan = plan_reuse([earlier, other], tmp_path / "new", config, load_dataset(data))
    assert plan.taken == {"attention": other, "classifier": earlier}
    assert list(plan.anew) == ["proposals"]


@pytest.mark.parametrize(
    ("spoil", "taken"),
    [
        pytest.param(lambda run: None, STAGES, id="whole"),
        pytest.param(lambda run: _undo(run / "attention.done", 3), STAGES[1:], id="a photo to do"),
        pytest.param(lambda run: _cut(run / "features.f16", 1), STAGES[1:], id="a file cut short"),
        pytest.param(lambda run: _cut(run / "proposals.jsonl", 5), STAGES[:2], id="a line half-written"),
        pytest.param(
            lambda run: (run / "classifier.safetensors").unlink(), ("attention", "proposals"), id="-"
        ),
        pytest.param(lambda run: (run / "attention.json").write_text("{"), (), id="photos unknown"),
    ],
)
def test_what_is_not_finished_is_not_taken_and_left_as_it_is(
    spoil: Callable[[Path], object], taken: tuple[str, ...], data: Path, earlier: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(earlier, run)
    spoil(run)
    before = {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()}
    plan = plan_reuse([run], tmp_path / "new", tiny_config(), load_dataset(data))
    assert tuple(plan.taken) == taken
    assert all(f"not finished in {run}" in why for why in plan.anew.values())
    assert {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()} == before


def _undo(path: Path, index: int) -> None:
    done = bytearray(path.read_bytes())
    done[index] = TO_DO
    path.write_bytes(bytes(done))


def _cut(path: Path, count: int) -> None:
    path.write_bytes(path.read_bytes()[:-count])


def test_a_run_resumes_when_the_one_it_took_from_is_gone(
    data: Path, earlier: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = tmp_path / "old"
    shutil.copytree(earlier, old)

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("train.loop.Fitter.step", stop)
        _train(data, tmp_path / "new", old)
    shutil.rmtree(old)
    _train(data, tmp_path / "new", resume=True)
    assert _differing(earlier, tmp_path / "new") == []
    assert _facts(tmp_path / "new")["reused"] == {stage: str(old.resolve()) for stage in STAGES}


@pytest.mark.slow
def test_background_prototypes_come_with_the_attention_they_made(data: Path, tmp_path: Path) -> None:
    first = _train(data, tmp_path / "first", sst__maps="both")
    out = _train(data, tmp_path / "new", first, sst__maps="both")
    assert (out / "prototypes.safetensors").samefile(first / "prototypes.safetensors")
    assert _differing(first, out) == []


@pytest.mark.slow
def test_a_run_killed_while_it_takes_over_ends_with_the_same_bits(
    data: Path, earlier: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("train.reuse.write_text", stop)  # attention is there, nobody knows yet
        _train(data, tmp_path / "new", earlier)
    _train(data, tmp_path / "new", resume=True)
    assert _differing(earlier, tmp_path / "new") == []


@pytest.mark.parametrize("links", [True, False], ids=["links", "another disk"])
def test_files_are_shared_only_where_nobody_writes_into_them(
    links: bool, data: Path, earlier: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    if not links:
        monkeypatch.setattr("os.link", refused)
    monkeypatch.setattr(train.run, "_stages", lambda *_: None)
    out = _train(data, tmp_path / "new", earlier)
    shared = {name for name in EARLY if (out / name).samefile(earlier / name)}
    assert shared == (set(LINKED) if links else set())
    assert not [path for path in out.iterdir() if path.suffix == ".part"]


def test_a_harvest_that_begins_anew_leaves_the_other_run_its_files(
    data: Path, earlier: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train.run, "_stages", lambda *_: None)
    out = _train(data, tmp_path / "new", earlier)
    kept = {name: (earlier / name).read_bytes() for name in EARLY}
    dataset = load_dataset(data)
    photos = [*dataset.splits["train"], *dataset.splits["val"]]
    about = json.loads((out / "attention.json").read_text())
    whole = AttentionStore(out, photos, tuple(about["shape"][1:]), about["features"])
    assert not whole.maps.flags.writeable
    for path in out.glob("attention.*"):  # as the message about a damaged store says
        path.unlink()
    store = AttentionStore(out, photos, tuple(about["shape"][1:]), about["features"])
    store.maps[:], store.features[:] = 1.0, 1.0
    store.flush()
    assert {name: (earlier / name).read_bytes() for name in EARLY} == kept


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        pytest.param(lambda p, run: p / "nothing", "holds no run of `dips-edge train`", id="no run"),
        pytest.param(lambda p, run: p / "new", "that is --out itself; go on with a run by", id="itself"),
        pytest.param(lambda p, run: _baseline(p), "a run of the baseline cam; expected one", id="a baseline"),
    ],
)
def test_a_run_that_cannot_be_reused_is_told_before_anything_is_written(
    prepare: Callable[[Path, Path], Path], message: str, data: Path, earlier: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=message):
        _train(data, tmp_path / "new", prepare(tmp_path, earlier))
    assert not (tmp_path / "new").exists()


def _baseline(folder: Path) -> Path:
    run = folder / "cam"
    run.mkdir()
    (run / "config.toml").write_text(to_toml(tiny_baseline("cam")))
    return run


def test_other_photos_are_told(data: Path, earlier: Path, tmp_path: Path) -> None:
    fewer = write_tiny_set(tmp_path / "set", train=5)
    with pytest.raises(UsageError, match=r"trained on other photos than .*: 2 gone \(train/background/5"):
        _train(fewer, tmp_path / "new", earlier)
    run = tmp_path / "run"
    shutil.copytree(earlier, run)
    (run / "metrics.json").write_text(json.dumps({"manifest": "then"}))
    dataset = load_dataset(data)
    assert plan_reuse([run], tmp_path / "new", tiny_config(), dataset, "then").taken
    assert plan_reuse([run], tmp_path / "new", tiny_config(), dataset, None).taken
    with pytest.raises(UsageError, match=r"the manifest of .* is another than that run began with"):
        plan_reuse([run], tmp_path / "new", tiny_config(), dataset, "now")


def test_nothing_to_reuse_is_an_empty_plan(data: Path, tmp_path: Path) -> None:
    assert plan_reuse([], tmp_path, tiny_config(), load_dataset(data)) == Plan()
    assert reused(tmp_path) == {}


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        pytest.param("--resume", "--reuse is for a new run", id="resumed"),
        pytest.param("--method cam", "--reuse means nothing to cam", id="a baseline"),
    ],
)
def test_flags_that_do_not_go_with_reuse_are_told(
    flags: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        main(["train", str(tmp_path), "--out", str(tmp_path / "r"), "--reuse", "x", *flags.split()])
    assert end.value.code == 2
    assert message in capsys.readouterr().err


def test_the_flag_reaches_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}
    monkeypatch.setattr(train.run, "train_run", lambda *_, **options: seen.update(options))
    with pytest.raises(SystemExit):
        main(["train", str(tmp_path), "--out", "new", "--reuse", "a", "--reuse", "b"])
    assert seen["reuse"] == (Path("a"), Path("b"))
