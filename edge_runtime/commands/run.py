"""`dips-edge run`: a model on a camera, video or folder of images, one record per frame."""

from __future__ import annotations

from typing import Any

import click

from edge_runtime import cliutil
from edge_runtime.backends import DEVICES
from edge_runtime.recording.format import CODECS

FRACTION = click.FloatRange(0.0, 1.0)
POSITIVE = click.IntRange(1)


@cliutil.command("run")
@click.option(
    "-s",
    "--source",
    required=True,
    help="demo, /dev/video0, csi://0, rtsp://..., http://..., udp://..., gst:..., a video, an image, "
    "a folder or a glob, replay:DIR of a recording.",
)
@click.option("-m", "--model", help="Model file, directory of them, or demo.  [default: demo with demo]")
@click.option("--precision", help="Which file of a model directory.  [default: fp32; fp16 on a GPU]")
@click.option(
    "--sink",
    "sinks",
    multiple=True,
    default=["jsonl:-"],
    help="Where results go, repeatable: jsonl:- (stdout), jsonl:PATH, video:PATH.mp4, udp://HOST:PORT, "
    "mavlink:udpout:HOST:PORT, mavlink:/dev/ttyTHS1:921600, web://127.0.0.1:8080, ros2:TOPIC.",
)
@click.option("--device", type=click.Choice(DEVICES), default="auto", help="What runs the network.")
@click.option(
    "--engine-dir", type=cliutil.PATH, help="Where TensorRT's engines are kept.  [default: beside the model]"
)
@click.option("--dla", type=click.IntRange(0, 1), help="Run on this DLA core of an Orin; fp16 only.")
@click.option("--threads", type=POSITIVE, help="CPU threads of one inference.  [default: cores, up to 4]")
@click.option("--max-frames", type=POSITIVE, help="Stop after so many records.")
@click.option("--threshold", type=FRACTION, help="Cuts the map into boxes.  [default: the model's]")
@click.option("--presence", type=FRACTION, help="Least presence to say it is there.  [default: the model's]")
@click.option(
    "--max-age-ms", type=click.FloatRange(1.0), default=150.0, help="A result older than this is not valid."
)
@click.option(
    "--track",
    multiple=True,
    metavar="NAME=VALUE",
    help="A setting of the tracker, repeatable, such as lost_after_ms=800; or a [track] table.",
)
@click.option("--no-track", is_flag=True, help="Judge every frame by itself, as photos always are.")
@click.option("--camera", type=cliutil.PATH, help="Camera file (TOML) for bearings; see calibrate-camera.")
@click.option(
    "--landing-target",
    type=click.Choice(["ardupilot", "px4"]),
    help="Send LANDING_TARGET over the mavlink: sinks, for this autopilot.",
)
@click.option("--web-token", help="Who may see the web: page; needed for addresses other than loopback.")
@click.option(
    "--stall-ms",
    type=click.FloatRange(1.0),
    help="Live: FAULT after so long without frame or result.  [default: 3 frame periods, at least 200]",
)
@click.option(
    "--frozen-ms",
    type=click.FloatRange(0.0),
    help="Live: FAULT after so long with the very same picture, 0 never.  [default: as --stall-ms]",
)
@click.option(
    "--stats-every",
    type=click.FloatRange(0.0),
    metavar="SECONDS",
    help="Log live figures this often, 0 never.  [default: 60 live, never for files]",
)
@click.option("--realtime", is_flag=True, help="Play a video at its own rate; late frames are lost.")
@click.option("--record", type=cliutil.PATH, metavar="DIR", help="Record frames and records, to replay.")
@click.option(
    "--record-codec",
    type=click.Choice(sorted(CODECS)),
    default="huffyuv",
    help="huffyuv: lossless, quick, large; ffv1: lossless, slow, small; mjpeg: not to the bit.",
)
@click.option("--summary-json", type=cliutil.PATH, help="Write the closing summary to this file, too.")
@click.option("--force", is_flag=True, help="Overwrite output files that exist.")
def run(**options: Any) -> None:
    """Run a model on a camera, video or folder of images.

    One JSON record per frame goes to each sink, also when nothing is found; a summary goes to stderr.
    Ctrl-C or SIGTERM ends the run within a second, with whole files and exit code 0;
    a second Ctrl-C ends it at once.

    \b
    dips-edge run --source demo --sink video:demo.mp4
    dips-edge run --model tower.onnx --source flight.mp4 --sink jsonl:flight.jsonl
    """
    from edge_runtime.flight import RunSettings, fly

    fly(RunSettings(**options))
