"""What every command of `dips-edge` shares: -h, defaults shown, --config FILE.toml, -v/-q, --json.

    import click
    from edge_runtime import cliutil

    @cliutil.command("evaluate")                       # adds -h, --config, -v, -q
    @click.argument("model", type=cliutil.PATH)
    @click.option("--seed", default=0, help="Seed of the split.")
    @cliutil.json_option                               # adds --json, passed as `as_json`
    def evaluate(model: Path, seed: int, as_json: bool) -> None:
        "One-line help, then paragraphs."
        ...                                            # heavy imports go inside

A command reports bad input by raising a `DipsEdgeError`; `edge_runtime.cli.main` prints its one line.
It logs through `logging.getLogger(__name__)`: info is shown by default, debug with -v, warnings with -q.
Command modules import nothing heavy at module level, so that `-h` answers at once.
"""

from __future__ import annotations

import difflib
import functools
import sys
from pathlib import Path
from typing import Any, Callable, TypeVar

import click

from edge_runtime.errors import UsageError

CONTEXT_SETTINGS: dict[str, Any] = {
    "help_option_names": ["-h", "--help"],
    "show_default": True,
    "max_content_width": 100,
}
PATH = click.Path(path_type=Path)  # existence is checked where the file is used, with a better message
_NOT_IN_CONFIG = ("config_file", "help")

_F = TypeVar("_F", bound=Callable[..., Any])


def command(name: str, **attrs: Any) -> Callable[[Callable[..., Any]], click.Command]:
    """`click.command` with the options every command has: --config, -v/--verbose, -q/--quiet, -h."""

    def wrap(function: Callable[..., Any]) -> click.Command:
        @functools.wraps(function)
        def with_logging(*args: Any, verbose: bool, quiet: bool, **kwargs: Any) -> Any:
            from edge_runtime import logs

            logs.set_up(verbose=verbose, quiet=quiet)
            return function(*args, **kwargs)

        make = click.command(name, cls=click.Command, context_settings=CONTEXT_SETTINGS, **attrs)
        made = make(with_logging)
        made.params += _common_options()
        return made

    return wrap


def json_option(function: _F) -> _F:
    """Add `--json`: the command prints one JSON document on stdout instead of text (`as_json: bool`)."""
    return click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")(function)


def _common_options() -> list[click.Parameter]:
    return [
        click.Option(
            ["--config", "config_file"],
            type=PATH,
            is_eager=True,
            expose_value=False,
            callback=lambda context, _, path: None if path is None else load_config(context, path),
            help="TOML file with a value for any flag; flags on the command line win.",
        ),
        click.Option(["-v", "--verbose"], is_flag=True, help="Say more on stderr."),
        click.Option(["-q", "--quiet"], is_flag=True, help="Say only warnings and errors on stderr."),
    ]


def load_config(context: click.Context, path: Path) -> None:
    """Make the values of the TOML file `path` the defaults of `context`'s command.

    Keys are flag names without the dashes (`max-frames` or `max_frames`), or argument names. A table
    stands for a repeatable flag of `name=value` pairs.

    Raises:
        UsageError: no such file, not TOML, or a key that is no flag of the command.
    """
    parameters = {key: parameter for parameter in context.command.params for key in _config_keys(parameter)}
    defaults: dict[str, Any] = {}
    for key, value in read_toml(path).items():
        name = key.replace("_", "-")
        if name not in parameters:
            near = difflib.get_close_matches(name, parameters, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"see `{context.command_path} -h`"
            raise UsageError(f"{path}: unknown key {key!r}; {hint}")
        parameter = parameters[name]
        repeatable = parameter.nargs != 1 or bool(getattr(parameter, "multiple", False))
        if repeatable and isinstance(value, dict):
            value = _as_pairs(path, key, value)
        if isinstance(value, dict) or (isinstance(value, list) and not repeatable):
            raise UsageError(f"{path}: {key!r} is a {_toml_type(value)}, expected one value")
        defaults[str(parameter.name)] = [value] if repeatable and not isinstance(value, list) else value
    context.default_map = {**(context.default_map or {}), **defaults}


def _config_keys(parameter: click.Parameter) -> list[str]:
    if parameter.name in _NOT_IN_CONFIG:
        return []
    if isinstance(parameter, click.Argument):
        return [str(parameter.name).replace("_", "-")]
    return [name[2:] for name in parameter.opts if name.startswith("--")]


def _as_pairs(path: Path, key: str, table: dict[str, Any]) -> list[str]:
    """`[track] lost_after_ms = 800` is `--track lost_after_ms=800`."""
    for name, value in table.items():
        if isinstance(value, (dict, list)):
            raise UsageError(f"{path}: '{key}.{name}' is a {_toml_type(value)}, expected one value")
    return [f"{name}={value}" for name, value in table.items()]


def _toml_type(value: object) -> str:
    return "table" if isinstance(value, dict) else "list"


def read_toml(path: Path, kind: str = "config file", wanted: str = "") -> dict[str, Any]:
    """The TOML file as a dict; UsageError naming the file (and line) when missing or malformed.

    Args:
        kind, wanted: what such a file is called in the message, and how the user gets one.
    """
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    hint = wanted and f"; {wanted}"
    try:
        return dict(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise UsageError(f"{path}: cannot read this {kind}: {error.strerror}{hint}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: not a TOML file: {error}{hint}") from error
