"""The `dips-edge` command: finds a subcommand by name, imports it only then, and ends with the right code.

Exit codes: 0 done, 1 a `DipsEdgeError` (one line on stderr), 2 wrong usage, 130 interrupted, 141 the
reader of stdout went away.
"""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from edge_runtime import __version__
from edge_runtime.cliutil import CONTEXT_SETTINGS
from edge_runtime.errors import DipsEdgeError, MissingExtra

if TYPE_CHECKING:
    from collections.abc import Sequence

PROGRAM = "dips-edge"
INTERRUPTED = 130
BROKEN_PIPE = 141  # 128 + SIGPIPE, what a shell reports for any program ended that way
TRAINS_FROM = (3, 10)  # Python that the other rooms need; what flies runs on 3.8
OTHER_ROOMS = ("train.", "export.", "calibration.")

# name: (module:attribute, one-line help); imported only when that command is asked for
COMMANDS = {
    "train": ("train.commands.train:train", "Train a localizer from photos sorted into folders."),
    "pretrain": (
        "train.commands.pretrain:pretrain",
        "Teach a transformer to see, from frames without labels.",
    ),
    "evaluate": ("train.commands.evaluate:evaluate", "Measure a run or a model file on photos with boxes."),
    "compare": ("train.commands.compare:compare", "Train several methods on the same photos, in one table."),
    "export": ("export.commands.export:export", "Turn a run into a model file for the board."),
    "calibrate": ("calibration.commands.calibrate:calibrate", "Make the int8 files of an fp32 model file."),
    "calibration": ("calibration.commands.calibration:calibration", "Look into the calibration of a model."),
    "run": ("edge_runtime.commands.run:run", "Run a model on a camera, video or folder of images."),
    "profile": (
        "edge_runtime.commands.profile:profile",
        "Measure latency from capture to record, and where it goes.",
    ),
    "doctor": ("edge_runtime.commands.doctor:doctor", "Say what this machine can do and what is missing."),
    "calibrate-camera": (
        "edge_runtime.commands.calibrate_camera:calibrate_camera",
        "Measure a camera with a printed board.",
    ),
    "manifest": ("train.commands.manifest:manifest", "List a data set with hashes, or check it."),
    "synth": ("train.commands.synth:synth", "Render the synthetic tower photos and clips."),
}

# top-level import name: (what pip calls it, our extras that bring it; one named like the command goes first)
OPTIONAL_PACKAGES: dict[str, tuple[str, ...]] = {
    "torch": ("torch", "train", "export"),
    "torchvision": ("torchvision", "train"),
    "timm": ("timm", "train", "export"),
    "segmentation_models_pytorch": ("segmentation-models-pytorch", "train", "export"),
    "safetensors": ("safetensors", "train", "export"),
    "tomli_w": ("tomli-w", "train", "export"),
    "tensorboard": ("tensorboard", "train"),
    "matplotlib": ("matplotlib", "train"),
    "onnx": ("onnx", "export"),
    "onnxsim": ("onnxsim", "export"),
    "pycuda": ("pycuda", "jetson"),
    "pymavlink": ("pymavlink", "guidance"),
    "websockets": ("websockets", "guidance"),
}


class LazyGroup(click.Group):
    """A group whose commands come from a name table and are imported when invoked."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        if sys.version_info < TRAINS_FROM and module.startswith(OTHER_ROOMS):
            raise DipsEdgeError(_too_old(cmd_name))
        loaded = getattr(importlib.import_module(module), attribute)
        assert isinstance(loaded, click.Command)
        return loaded

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the table's own help lines: nothing is imported to print them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings=CONTEXT_SETTINGS)
@click.version_option(__version__, prog_name=PROGRAM, message="%(prog)s %(version)s")
def cli() -> None:
    """From photos sorted into folders to boxes on a drone, frame by frame."""


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Run one command and exit: bad input gives one `error:` line, never a traceback."""
    if "_DIPS_EDGE_COMPLETE" in os.environ:
        cli.main(prog_name=PROGRAM)  # shell completion, answered by click
    try:
        code = _invoke(list(sys.argv[1:] if args is None else args))
        sys.stdout.flush()
    except BrokenPipeError:
        code = BROKEN_PIPE
        _forget_stdout()
    sys.exit(code)


def _invoke(args: list[str]) -> int:
    """Exit code of the command line `args`; errors a user can mend are already printed."""
    try:
        with cli.make_context(PROGRAM, args) as context:
            cli.invoke(context)
    except click.exceptions.Exit as request:
        return request.exit_code
    except click.ClickException as error:
        if not args:
            error.show()  # click >= 8.2 has the help text as the message
            return error.exit_code
        return _report(_one_line(error), error.exit_code)
    except DipsEdgeError as error:
        return _report(str(error), error.exit_code)
    except ModuleNotFoundError as error:
        missing = _missing_extra(error, args)
        if missing is None:
            raise
        return _report(str(missing), missing.exit_code)
    except (KeyboardInterrupt, click.Abort):
        return INTERRUPTED
    return 0


def _report(message: str, code: int) -> int:
    click.echo(f"error: {message}", err=True)
    return code


def _one_line(error: click.ClickException) -> str:
    text = " ".join(error.format_message().split()).rstrip(".")
    context: Any = getattr(error, "ctx", None)
    return text if context is None else f"{text} (see `{context.command_path} -h`)"


def _missing_extra(error: ModuleNotFoundError, args: list[str]) -> MissingExtra | None:
    if error.name not in OPTIONAL_PACKAGES:
        return None
    package, *extras = OPTIONAL_PACKAGES[error.name]
    name = next((word for word in args if word in COMMANDS), "")
    extra = name if name in extras else extras[0]
    return MissingExtra(package, extra, f"{PROGRAM} {name}".strip())


def _too_old(name: str) -> str:
    needed, this = (".".join(map(str, version)) for version in (TRAINS_FROM, sys.version_info[:3]))
    here = ", ".join(other for other, (module, _) in COMMANDS.items() if not module.startswith(OTHER_ROOMS))
    return (
        f"{PROGRAM} {name} needs Python {needed} or newer, this is {this}: do it on another machine and "
        f"bring the model file here; {here} work with this one"
    )


def _forget_stdout() -> None:
    """Keep the interpreter from complaining when it flushes a stdout nobody reads."""
    with Path(os.devnull).open("w") as sink:
        os.dup2(sink.fileno(), sys.stdout.fileno())
