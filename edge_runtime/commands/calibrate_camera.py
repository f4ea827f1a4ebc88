"""`dips-edge calibrate-camera`: pictures or a video of a printed board to a camera file."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from edge_runtime import cliutil

if TYPE_CHECKING:
    from pathlib import Path


@cliutil.command("calibrate-camera")
@click.argument("pictures", nargs=-1, required=True)
@click.option("--board", required=True, help="Inner corners, 9x6; squares of a ChArUco board.")
@click.option("--square", default="25mm", help="Side of a square. Scales distances only, not the result.")
@click.option("--charuco", metavar="DICT", help="The board is ChArUco of this dictionary, such as 5x5_100.")
@click.option("--marker", help="Side of a ChArUco marker.  [default: 0.75 of the square]")
@click.option("-o", "--out", type=cliutil.PATH, required=True, help="Camera file to write, such as cam.toml.")
@click.option("--picture", type=cliutil.PATH, help="Where the picture goes.  [default: OUT with .png]")
@click.option("--fisheye", is_flag=True, help="Fisheye lens (wider than about 110 degrees).")
@click.option("--rational", is_flag=True, help="Brown with 8 coefficients (90 to 110 degrees).")
@click.option("--name", help="Name of the camera.  [default: of the file]")
@click.option("--id", "camera_id", type=click.IntRange(100, 105), default=100, help="MAVLink component.")
@click.option("--mount", type=click.Choice(["forward", "down"]), default="forward", help="How it sits.")
@click.option("--max-views", type=click.IntRange(8), default=30, help="Views to fit, the most different.")
@click.option("--force", is_flag=True, help="Overwrite output files that exist.")
@cliutil.json_option
def calibrate_camera(pictures: tuple[str, ...], out: Path, as_json: bool, **options: Any) -> None:
    """Measure a camera with a printed chessboard or ChArUco board.

    PICTURES are images, folders or globs of them, or a video of the board moved about: 15 to 30 sharp views,
    near and far, in every corner, slanted to all sides. Use the resolution and lens setting that will fly.

    \b
    dips-edge calibrate-camera views/*.jpg --board 9x6 --square 25mm --out cam.toml
    dips-edge run --model tower.onnx --source /dev/video0 --camera cam.toml
    """
    from edge_runtime.camera.calibrate import calibrate, check_targets, save
    from edge_runtime.camera.chessboard import parse_board
    from edge_runtime.camera.mount import NAMED
    from edge_runtime.errors import UsageError

    if options["fisheye"] and options["rational"]:
        raise UsageError("--fisheye and --rational are two lens models; choose one")
    board = parse_board(options["board"], options["square"], options["charuco"], options["marker"])
    picture = options["picture"] or out.with_suffix(".png")
    if picture == out:
        raise UsageError(f"--picture and --out are both {out}; choose two names")
    check_targets([out, picture], force=options["force"])
    done = calibrate(
        pictures,
        board,
        lens="fisheye" if options["fisheye"] else "rational" if options["rational"] else "brown",
        name=options["name"] or out.stem,
        camera_id=options["camera_id"],
        mount=NAMED[options["mount"]],
        most=options["max_views"],
    )
    save(done, out, picture)
    if as_json:
        click.echo(json.dumps({**done.as_dict(), "file": str(out), "picture": str(picture)}, indent=1))
    else:
        click.echo(_as_text(done.as_dict()))
        click.echo(f"wrote {out} and {picture}")


def _as_text(done: dict[str, Any]) -> str:
    lines = [f"{'view':<40} {'RMS px':>8} {'slant':>7}"]
    for view in done["views"]:
        mark = "" if view["used"] else "  does not fit, left out"
        lines.append(f"{view['name'][-40:]:<40} {view['rms_px']:>8.3f} {view['slant_deg']:>6.0f}°{mark}")
    used = sum(view["used"] for view in done["views"])
    lines.append(
        f"all: RMS {done['rms_px']:.3f} px over {used} views; fx {done['fx']:.2f}, fy {done['fy']:.2f}, "
        f"centre {done['cx']:.2f}, {done['cy']:.2f}; calib {done['calib']}"
    )
    if done["blurred"]:
        lines.append(f"blurred, left out: {len(done['blurred'])} of {done['with_board']}")
    return "\n".join(lines)
