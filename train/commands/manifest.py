"""`dips-edge manifest DATA`: a data set's items with their hashes, and whether they are still the same."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from edge_runtime import cliutil
from edge_runtime.summary import check_target

if TYPE_CHECKING:
    from pathlib import Path


@cliutil.command("manifest")
@click.argument("data", type=cliutil.PATH)
@click.option("--check", is_flag=True, help="Compare DATA with its manifest instead of writing one.")
@click.option("--quick", is_flag=True, help="With --check: names, classes and sizes only, no hashes.")
@click.option("--file", type=cliutil.PATH, help="The manifest.  [default: DATA/manifest.jsonl]")
@click.option("--force", is_flag=True, help="Overwrite a manifest that is there.")
@click.option("--workers", type=click.IntRange(1), default=2, help="Threads that read photos.")
@cliutil.json_option
def manifest(
    data: Path, check: bool, quick: bool, file: Path | None, force: bool, workers: int, as_json: bool
) -> None:
    """List every photo of DATA with its class, size and sha256; or see with --check what has changed since.

    `dips-edge train --verify` does the same check before it begins.
    """
    from train.data.dataset import load_dataset, splits_of
    from train.data.manifest import FILE, check_manifest, read_manifest, write_manifest

    path = data / FILE if file is None else file
    if data.is_dir():  # else the reader says so
        if check:
            read_manifest(path)
        else:
            check_target(path, force=force)
    dataset = load_dataset(data, splits=splits_of(data))
    if check:
        digest = check_manifest(path, dataset, hashes=not quick, workers=workers)
        items = sum(map(len, dataset.splits.values()))
    else:
        items, digest = write_manifest(path, dataset, workers=workers)
    if as_json:
        click.echo(json.dumps({"manifest": str(path), "items": items, "sha256": digest, "checked": check}))
    elif check:
        click.echo(f"{data}: {items} items as in {path.name} ({'sizes' if quick else 'hashes'} compared)")
    else:
        click.echo(f"{path}: {items} items, sha256 {digest}")
