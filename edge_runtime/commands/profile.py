"""`dips-edge profile`: how old a box is when guidance gets it, where the time goes, will it hold."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from edge_runtime import cliutil
from edge_runtime.backends import DEVICES
from edge_runtime.clitypes import Duration, Size
from edge_runtime.errors import ProfileError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from edge_runtime.profiling.session import Profile

POSITIVE = click.IntRange(1)
INTERRUPTED = 130
FAIL_OVER = 0.05  # what --compare calls slower when it is not asked to fail


@cliutil.command("profile")
@click.option("-m", "--model", help="Model file, directory of them, or demo.")
@click.option("-s", "--source", help="As of `run`; files begin again at their end.  [default: made frames]")
@click.option("--size", type=Size(), default="1280x720", help="Of made frames.")
@click.option(
    "--fps",
    type=click.FloatRange(0.1, 1000),
    help="Play made frames or a file like a camera at this rate; of --estimate: what is wished for.  "
    "[default: the file's, or 30]",
)
@click.option("--flat-out", is_flag=True, help="As fast as it goes instead: throughput, not age.")
@click.option(
    "--mode", type=click.Choice(["all", "engine", "pipeline"]), default="all", help="What is measured."
)
@click.option("--warmup", type=click.IntRange(0), default=50, help="Frames before measuring, in each mode.")
@click.option("--count", type=POSITIVE, default=500, help="Frames to measure, in each mode.")
@click.option("--duration", type=Duration(), help="Measure the pipeline for so long instead.")
@click.option("--soak", type=Duration(), help="The same for long (20m): will it hold when the board is hot?")
@click.option(
    "--deadline-ms",
    type=click.FloatRange(0.1),
    default=150.0,
    help="A frame older than this at its record has missed it.",
)
@click.option(
    "--sink", "sinks", multiple=True, default=["jsonl:/dev/null"], help="As of `run`, repeatable; timed, too."
)
@click.option("--device", type=click.Choice(DEVICES), default="auto", help="What runs the network.")
@click.option("--precision", help="Which file of a model directory.  [default: fp32; fp16 on a GPU]")
@click.option("--engine-dir", type=cliutil.PATH, help="Where TensorRT's engines are kept.")
@click.option("--dla", type=click.IntRange(0, 1), help="Run on this DLA core of an Orin; fp16 only.")
@click.option("--threads", type=POSITIVE, help="CPU threads of one inference.  [default: cores, up to 4]")
@click.option("--no-track", is_flag=True, help="Judge every frame by itself.")
@click.option("--no-layers", is_flag=True, help="Do not time the layers.")
@click.option("--save", type=cliutil.PATH, metavar="FILE.json", help="Write the report as JSON.")
@click.option("--html", type=cliutil.PATH, metavar="FILE.html", help="Write it as one page with charts.")
@click.option("--trace", type=cliutil.PATH, metavar="FILE.json", help="Write a trace that Perfetto opens.")
@click.option("--force", is_flag=True, help="Overwrite files that exist.")
@click.option(
    "--compare",
    nargs=2,
    type=cliutil.PATH,
    metavar="A.json B.json",
    help="Measure nothing: compare two saved reports.",
)
@click.option(
    "--fail-over",
    type=click.FloatRange(0.0),
    metavar="PERCENT",
    help="With --compare: exit code 1 when B is slower by more than this and by more than chance.",
)
@click.option(
    "--estimate",
    metavar="BOARD",
    help="Measure nothing: estimate the time of the network on a board, such as orin-nano-8gb.",
)
@click.option("--all-boards", is_flag=True, help="The same for every board and precision, as a table.")
@cliutil.json_option
def profile(**options: Any) -> None:
    """Measure latency from capture to record: per stage and layer, with percentiles and missed deadlines.

    First the network alone, then the whole pipeline on a source. Ctrl-C keeps what was measured and marks
    it as partial.

    \b
    dips-edge profile --model tower.onnx --source /dev/video0 --html profile.html
    dips-edge profile --model tower.onnx --soak 20m --fps 30 --save hot.json
    dips-edge profile --compare cold.json hot.json --fail-over 5
    dips-edge profile --model tower.onnx --estimate orin-nano-8gb-super --fps 30
    """
    others = [name for name in ("compare", "estimate", "all_boards") if options[name]]
    if len(others) > 1:
        flags = " and ".join(f"--{name.replace('_', '-')}" for name in others)
        raise UsageError(f"{flags}: each is a question of its own; give one of them")
    if options["compare"]:
        _compare(options)
    elif others:
        _estimate(options)
    else:
        _measure(options)


def _model(options: dict[str, Any]) -> str:
    model: str | None = options["model"]
    if model is None:
        raise UsageError("--model is missing: a .onnx made by `dips-edge export RUN`, or demo")
    return model


def _estimate(options: dict[str, Any]) -> None:
    from edge_runtime.modelfile import find_model
    from edge_runtime.profiling.estimate import estimate as guess
    from edge_runtime.profiling.estimate import render

    model = guess.read_model(find_model(_model(options)))
    if options["all_boards"]:
        rows = guess.all_boards(model, options["fps"])
        answer, text = render.choice_dict(rows), render.choice_text(rows)
    else:
        found = guess.estimate(model, options["estimate"], options["precision"], options["fps"])
        answer, text = render.as_dict(found), render.as_text(found)
    click.echo(json.dumps(answer, allow_nan=False) if options["as_json"] else text)


def _measure(options: dict[str, Any]) -> None:
    from edge_runtime.profiling.session import measure
    from edge_runtime.profiling.settings import ProfileSettings
    from edge_runtime.stopping import StopSignals

    model = _model(options)
    if options["duration"] is not None and options["soak"] is not None:
        raise UsageError("--duration and --soak: both say how long; give one of them")
    files = {name: options[name] for name in ("save", "html", "trace") if options[name] is not None}
    _check_files(files, force=options["force"])
    settings = ProfileSettings(
        model=model,
        **{
            name: options[name]
            for name in (
                "source", "size", "fps", "flat_out", "mode", "warmup", "count", "deadline_ms",
                "device", "precision", "engine_dir", "dla", "threads",
            )
        },
        duration_s=options["duration"],
        soak_s=options["soak"],
        sinks=tuple(options["sinks"]),
        track=not options["no_track"],
        layers=not options["no_layers"],
        keep_spans=options["trace"] is not None,
    )  # fmt: skip
    with StopSignals() as signals:
        found = measure(settings, stop_wanted=signals)
        stopped = signals()
    _write(found, files, as_json=options["as_json"])
    if stopped:
        raise click.exceptions.Exit(INTERRUPTED)
    if found.partial is not None:
        raise ProfileError(f"the profile is partial: {found.partial}")


def _write(found: Profile, files: dict[str, Path], *, as_json: bool) -> None:
    from edge_runtime.profiling import reportfile, table
    from edge_runtime.profiling.trace import board_counters, write_trace
    from edge_runtime.wholefile import whole_file

    report = found.report
    if as_json:
        click.echo(json.dumps(report, allow_nan=False))
    else:
        click.echo(table.as_text(report))
    if "save" in files:
        reportfile.save(files["save"], report)
    if "html" in files:
        from edge_runtime.profiling.html import as_html

        with whole_file(files["html"], "page") as file:
            file.write(as_html(report))
    if "trace" in files:
        samples = report["board"]["samples"] if report["board"] else ()
        meta = {key: report[key] for key in ("software", "t_utc", "machine", "model", "source")}
        write_trace(files["trace"], found.spans, board_counters(samples, found.begin_ns), meta)


def _compare(options: dict[str, Any]) -> None:
    from edge_runtime.profiling import comparetable, reportfile
    from edge_runtime.profiling.compare import compare

    before, after = options["compare"]
    percent = options["fail_over"]
    share = FAIL_OVER if percent is None else percent / 100
    found = compare(reportfile.load(before), reportfile.load(after), share)
    if options["as_json"]:
        click.echo(json.dumps(comparetable.as_dict(found), allow_nan=False))
    else:
        click.echo(comparetable.as_text(found, str(before), str(after)))
    if percent is not None and found.regressions:
        raise ProfileError(f"{after} is slower than {before} by more than {percent:g} %")


def _check_files(files: dict[str, Path], *, force: bool) -> None:
    from edge_runtime import summary

    for path in files.values():
        summary.check_target(path, force=force)
    if len(set(files.values())) < len(files):
        raise UsageError("--save, --html and --trace name the same file; give each its own")
