"""The command line: what it lists, how it ends, and that asking for help loads nothing heavy."""

from __future__ import annotations

import importlib
import logging
import resource
import subprocess
import sys
from types import SimpleNamespace

import click
import pytest

from edge_runtime import __version__, cli, cliutil
from edge_runtime.errors import DatasetError, UsageError


@cliutil.command("probe")
@click.argument("place", required=False)
@click.option("--max-frames", type=int, default=3, help="How many.")
@click.option("--sink", "sinks", multiple=True)
@click.option("--pair", nargs=2, type=int)
@click.option("--force", is_flag=True)
@click.option("--raises", default=None)
@cliutil.json_option
def probe(**given: object) -> None:
    """Print what was given, or raise what is asked for."""
    errors = {
        "DatasetError": DatasetError("class 'tower': no images"),
        "UsageError": UsageError("--a excludes --b"),
        "KeyboardInterrupt": KeyboardInterrupt(),
        "BrokenPipeError": BrokenPipeError(),
        "no torch": ModuleNotFoundError("No module named 'torch'", name="torch"),
        "Exit": click.exceptions.Exit(7),
    }
    if given["raises"] in errors:
        raise errors[str(given["raises"])]
    log = logging.getLogger("edge_runtime.probe")
    log.debug("debug line")
    log.info("info line")
    log.warning("warning line")
    click.echo(repr({k: v for k, v in given.items() if v not in (None, (), False)}))


@pytest.fixture
def command(monkeypatch, capfd):
    """Runs `dips-edge probe ARGS`: exit code, stdout, stderr."""
    monkeypatch.setitem(cli.COMMANDS, "probe", ("probe_module:probe", "Only for this test."))
    real = importlib.import_module
    monkeypatch.setattr(
        cli.importlib,
        "import_module",
        lambda name: SimpleNamespace(probe=probe) if name == "probe_module" else real(name),
    )

    def run(*args: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            cli.main(["probe", *args])
        captured = capfd.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    return run


@pytest.mark.parametrize(
    ("args", "code", "line"),
    [
        pytest.param(["--raises", "DatasetError"], 1, "error: class 'tower': no images", id="bad input"),
        pytest.param(["--raises", "UsageError"], 2, "error: --a excludes --b", id="our usage error"),
        pytest.param(
            ["--nonsense"],
            2,
            "error: No such option '--nonsense' (see `dips-edge probe -h`)",
            id="unknown flag",
        ),
        pytest.param(
            ["--max-frames", "x"],
            2,
            "error: Invalid value for '--max-frames': 'x' is not a valid integer (see `dips-edge probe -h`)",
            id="bad value",
        ),
        pytest.param(
            ["--raises", "no torch"],
            1,
            "error: dips-edge probe needs the package 'torch', which is not installed: "
            "pip install 'dips-edge[train]'",
            id="missing extra",
        ),
        pytest.param(["--raises", "KeyboardInterrupt"], 130, None, id="interrupted"),
        pytest.param(["--raises", "Exit"], 7, None, id="a code of its own"),
    ],
)
def test_what_goes_wrong_gives_one_line_and_its_exit_code(command, args, code, line):
    found, out, err = command(*args)
    assert (found, out) == (code, "")
    assert err.replace("option: --nonsense", "option '--nonsense'") == ("" if line is None else f"{line}\n")


def test_an_unknown_command_is_one_line(capfd):
    with pytest.raises(SystemExit) as ended:
        cli.main(["fly"])
    assert ended.value.code == 2
    assert capfd.readouterr().err == "error: No such command 'fly' (see `dips-edge -h`)\n"


@pytest.mark.parametrize(
    ("toml", "args", "expected"),
    [
        pytest.param("max-frames = 9", [], {"max_frames": 9}, id="with a dash"),
        pytest.param("max_frames = 9", [], {"max_frames": 9}, id="with an underscore"),
        pytest.param("max-frames = 9", ["--max-frames", "1"], {"max_frames": 1}, id="the command line wins"),
        pytest.param('sink = ["a", "b"]', [], {"max_frames": 3, "sinks": ("a", "b")}, id="a repeated flag"),
        pytest.param('sink = "abc"', [], {"max_frames": 3, "sinks": ("abc",)}, id="repeated once"),
        pytest.param("pair = [1, 2]", [], {"max_frames": 3, "pair": (1, 2)}, id="two values"),
        pytest.param("force = true", [], {"max_frames": 3, "force": True}, id="a switch"),
        pytest.param(
            "json = true", [], {"max_frames": 3, "as_json": True}, id="a flag with another name inside"
        ),
        pytest.param('place = "here"', [], {"max_frames": 3, "place": "here"}, id="an argument"),
        pytest.param("", [], {"max_frames": 3}, id="an empty file"),
    ],
)
def test_a_config_file_sets_any_flag(command, tmp_path, toml, args, expected):
    path = tmp_path / "c.toml"
    path.write_text(toml)
    code, out, _ = command("--config", str(path), *args, "-q")
    assert (code, out) == (0, f"{expected!r}\n") or eval(out) == expected


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        pytest.param("max-frame = 1", "unknown key 'max-frame'; did you mean 'max-frames'?", id="misspelt"),
        pytest.param("zzz = 1", "unknown key 'zzz'; see `dips-edge probe -h`", id="unknown"),
        pytest.param('config = "x"', "unknown key 'config'", id="itself"),
        pytest.param("max-frames = [1]", "'max-frames' is a list, expected one value", id="list"),
        pytest.param("[max-frames]", "'max-frames' is a table, expected one value", id="table"),
        pytest.param("max-frames = ", "not a TOML file", id="malformed"),
        pytest.param('max-frames = "x"', "Invalid value for '--max-frames'", id="bad value"),
        pytest.param(None, "cannot read this config file: No such file", id="missing"),
    ],
)
def test_a_config_file_that_cannot_be_used_is_one_line(command, tmp_path, toml, message):
    path = tmp_path / "c.toml"
    if toml is not None:
        path.write_text(toml)
    code, out, err = command("--config", str(path))
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert message in err


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ([], ["info line", "warning: warning line"]),
        (["-q"], ["warning: warning line"]),
        (["-v"], ["debug line", "info line", "warning line"]),
    ],
    ids=["default", "quiet", "verbose"],
)
def test_log_lines_go_to_stderr_as_asked_for(command, flags, expected):
    code, _, err = command(*flags)
    assert code == 0
    lines = err.splitlines()
    assert len(lines) == len(expected)
    assert all(line.endswith(text) for line, text in zip(lines, expected))


def test_help_shows_defaults_and_the_common_flags(command):
    _, out, _ = command("-h")
    assert "[default: 3]" in out
    for flag in ("--config", "-v, --verbose", "-q, --quiet", "-h, --help", "--json"):
        assert flag in out


def subprocess_modules(code: str) -> set[str]:
    """Top-level modules loaded in a fresh interpreter after `code`."""
    script = (
        f"{code}\nimport sys; print(*{{name.partition('.')[0] for name in sys.modules}}, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stderr.splitlines()[-1].split())


HELP = """
from edge_runtime.cli import main
try:
    main(["-h"])
except SystemExit as ended:
    assert ended.code == 0
"""


def test_help_loads_nothing_heavy():
    assert not subprocess_modules(HELP) & {
        "numpy",
        "cv2",
        "onnxruntime",
        "torch",
        "train",
        "export",
        "calibration",
    }


def test_help_lists_every_command_and_costs_little():
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-m", "edge_runtime", "-h"], capture_output=True, text=True, check=True
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert cpu_s < 0.5  # loosely, and processor time: tests/bench/bench_run.py measures the wall
    for name, (_, line) in cli.COMMANDS.items():
        assert name in done.stdout
        assert line in done.stdout


@pytest.mark.parametrize("line", [["train", "-h"], ["export", "run"], ["synth", "--out", "here"]])
def test_on_a_board_of_python_3_8_what_does_not_fly_says_so_in_one_line(monkeypatch, capsys, line):
    monkeypatch.setattr(cli, "TRAINS_FROM", (99, 1))
    with pytest.raises(SystemExit) as ended:
        cli.main(line)
    out, err = capsys.readouterr()
    assert (ended.value.code, out) == (1, "")
    assert err.count("\n") == 1
    assert f"dips-edge {line[0]} needs Python 99.1 or newer, this is {sys.version_info[0]}." in err
    assert "run, profile, doctor" in err


def test_version_and_no_arguments():
    version = subprocess.run(
        [sys.executable, "-m", "edge_runtime", "--version"], capture_output=True, text=True, check=True
    )
    assert version.stdout == f"dips-edge {__version__}\n"
    nothing = subprocess.run([sys.executable, "-m", "edge_runtime"], capture_output=True, text=True)
    assert nothing.returncode in (0, 2)  # click before and after 8.2
    assert "Commands:" in nothing.stdout + nothing.stderr


@pytest.mark.parametrize("name", ["run"])
def test_every_command_of_this_room_can_be_loaded(name):
    module, _, attribute = cli.COMMANDS[name][0].partition(":")
    assert isinstance(getattr(importlib.import_module(module), attribute), click.Command)
