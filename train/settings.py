"""Settings as frozen dataclasses with sections: changed by dotted key, read from and written to TOML.

{"losses.cls": "0.3"} ──override──▶ dataclass ──to_toml──▶ config.toml ──read_config_of──▶ dataclass
"""

from __future__ import annotations

import dataclasses
import sys
from typing import TYPE_CHECKING, Any, TypeVar, get_type_hints

import tomli_w

from edge_runtime.errors import UsageError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from _typeshed import DataclassInstance

C = TypeVar("C", bound="DataclassInstance")
TRAIN = "dips-edge train"
CHOICES = "choices"  # in the metadata of a field


def one_of(default: str, *others: str) -> Any:
    """A field of a frozen dataclass that may hold one of these words."""
    return dataclasses.field(default=default, metadata={CHOICES: (default, *others)})


def choices_of(config: DataclassInstance, key: str) -> tuple[str, ...]:
    """The words that a setting may hold; empty where it is a number or free text."""
    section, _, name = key.rpartition(".")
    part = getattr(config, section) if section else config
    return next(tuple(f.metadata.get(CHOICES, ())) for f in dataclasses.fields(part) if f.name == name)


def override(config: C, changes: Mapping[str, Any]) -> C:
    """Replace dotted keys (`losses.cls`); values are converted to the field's type.

    Args:
        config: a frozen dataclass with sections that are frozen dataclasses.

    Raises:
        UsageError: unknown key, or a value of the wrong type or outside its choices.
    """
    for key, value in changes.items():
        section, _, name = key.rpartition(".")
        part: Any = getattr(config, section, None) if section else config
        kinds = get_type_hints(type(part)) if dataclasses.is_dataclass(part) else {}
        if name not in kinds or dataclasses.is_dataclass(kinds[name]):
            raise UsageError(f"setting {key!r} does not exist; all settings: {', '.join(flatten(config))}")
        new = _convert(key, value, getattr(part, name))
        choices = choices_of(config, key)
        if choices and new not in choices:
            raise UsageError(f"{key} = {new!r}: expected one of {', '.join(choices)}")
        part = dataclasses.replace(part, **{name: new})
        config = dataclasses.replace(config, **{section: part}) if section else part
    return config


def _convert(key: str, value: Any, now: Any) -> Any:
    kind = type(now)
    try:
        if kind is tuple:
            items = value.replace(",", " ").split() if isinstance(value, str) else list(value)
            return tuple(type(now[0])(item) for item in items)
        if kind is int and isinstance(value, float) and not value.is_integer():
            raise ValueError
        return kind(value)
    except (TypeError, ValueError) as error:
        raise UsageError(f"{key} = {value!r}: expected {kind.__name__}, like {now!r}") from error


def flatten(config: DataclassInstance) -> dict[str, Any]:
    """All settings by dotted key, in order."""
    flat: dict[str, Any] = {}
    for f in dataclasses.fields(config):
        value = getattr(config, f.name)
        if dataclasses.is_dataclass(value):
            flat |= {f"{f.name}.{g.name}": getattr(value, g.name) for g in dataclasses.fields(value)}
        else:
            flat[f.name] = value
    return flat


def to_toml(config: DataclassInstance) -> str:
    """The text of `config.toml`."""
    return tomli_w.dumps(dataclasses.asdict(config))


def read_config_of(run_dir: Path, base: C, command: str) -> C:
    """The configuration of a run of `command`, whose settings and defaults are those of `base`.

    Raises:
        UsageError: the folder holds no run, or one of another command.
    """
    path = run_dir / "config.toml"
    if not path.is_file():
        raise UsageError(f"{run_dir} holds no run of `{command}`: no config.toml in it")
    return read_settings(path, base, command)


def read_settings(path: Path, base: C, command: str) -> C:
    """The `config.toml` of `command`; what it does not name is as in `base`.

    Raises:
        UsageError: naming the file, when it is not one of that command.
    """
    changes = read_changes(path)
    if "method" in changes:
        needed = "DiPS" if command == TRAIN else f"`{command}`"
        raise UsageError(
            f"{path}: a run of the baseline {changes['method']!r}; a run of {needed} is needed here"
        )
    return apply_file(path, base, changes, command=command)


def read_changes(path: Path) -> dict[str, Any]:
    """What a `config.toml` says, by dotted key. Raises UsageError when it cannot be read as TOML."""
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: cannot be read as TOML: {error}") from error
    changes: dict[str, Any] = {}
    for key, value in raw.items():
        if isinstance(value, dict):
            changes |= {f"{key}.{name}": item for name, item in value.items()}
        else:
            changes[key] = value
    return changes


def apply_file(path: Path, config: C, changes: Mapping[str, Any], command: str = TRAIN) -> C:
    """`override` with what `path` said; the error names the file, and the `command` that writes such."""
    try:
        return override(config, changes)
    except UsageError as error:
        raise UsageError(f"{path}: not written by this version of `{command}`: {error}") from error


def refuse_differences(out: Path, stored: DataclassInstance, asked: DataclassInstance) -> None:
    """Raise UsageError when the configuration asked for is not the stored one of the run in `out`."""
    if asked != stored:
        then, now = flatten(stored), flatten(asked)
        differing = [f"{k} is {then[k]!r} there, not {now[k]!r}" for k in then if then[k] != now[k]]
        raise UsageError(
            f"--resume: {out / 'config.toml'} says otherwise ({'; '.join(differing)}); "
            "leave these out, or start a new run with another --out"
        )
