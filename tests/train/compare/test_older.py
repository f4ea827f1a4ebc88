"""Runs of a comparison that other defaults trained are told, and no others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.train.tiny import tiny_config
from train.compare.older import other_defaults
from train.compare.plan import Plan
from train.config_auto import resolve_method
from train.settings import override, to_toml

if TYPE_CHECKING:
    from pathlib import Path

PLAN = Plan("/photos", 3, {"dips": [], "cam": [], "dips_cpa": []})
TODAY = resolve_method(tiny_config(optim__epochs=0, polish__epochs=2), alone=False)


def _stored(out: Path, name: str, text: str) -> None:
    (out / "runs" / name).mkdir(parents=True)
    (out / "runs" / name / "config.toml").write_text(text, encoding="utf-8")


def test_a_run_with_the_settings_of_today_is_not_mentioned(tmp_path: Path) -> None:
    _stored(tmp_path, "dips-1", to_toml(override(TODAY, {"seed": 1, "optim.epochs": 6})))
    _stored(tmp_path, "cam-0", 'method = "cam"\n')
    assert list(other_defaults(tmp_path, PLAN, {"dips": TODAY})) == []


def test_each_other_setting_is_named_with_both_values(tmp_path: Path) -> None:
    before = override(TODAY, {"seed": 2, "localizer.eval_size": 32})
    older = to_toml(before).split("[polish]")[0] + "[localizer]" + to_toml(before).split("[localizer]")[1]
    _stored(tmp_path, "dips-2", older)
    _stored(tmp_path, "dips_cpa-0", to_toml(TODAY))
    (line,) = other_defaults(tmp_path, PLAN, {"dips": TODAY, "dips_cpa": TODAY})
    assert "runs/dips-2: trained by an older version" in line
    assert "polish.epochs 0, now 2" in line
    assert "localizer.eval_size 32, now 64" in line
    assert "seed" not in line
