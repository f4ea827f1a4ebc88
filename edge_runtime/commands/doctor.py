"""`dips-edge doctor`: what this machine can do, what is missing, what to do."""

from __future__ import annotations

import json
from pathlib import Path

import click

from edge_runtime import cliutil


@cliutil.command("doctor")
@click.option("-m", "--model", type=cliutil.PATH, help="Model whose engines would be kept beside it.")
@click.option(
    "--engine-dir",
    type=cliutil.PATH,
    help="Where engines would be kept.  [default: beside the model, or here]",
)
@cliutil.json_option
def doctor(model: Path | None, engine_dir: Path | None, as_json: bool) -> None:
    """Say what this machine can do, what is missing, and what to do about it.

    Ends with exit code 1 when `dips-edge run` cannot work here at all, else 0.
    """
    from edge_runtime.doctor import Machine, examine, run_works
    from edge_runtime.doctor.table import as_dict, as_text

    beside = Path() if model is None else model if model.is_dir() else model.parent
    examined = examine(Machine(engine_dir=engine_dir or beside))
    works = run_works(examined)
    if as_json:
        click.echo(json.dumps(as_dict(examined, works=works), indent=1))
    else:
        click.echo(as_text(examined, works=works))
    if not works:
        raise click.exceptions.Exit(1)
