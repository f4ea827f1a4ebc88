"""Which file `--model` means: a file, the one that fits in a directory, or the demo model of the package.

--model VALUE ──find_model──▶ path of one .onnx, checked to exist and not to be empty
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from edge_runtime.errors import ModelError

DEMO = "demo"
ASSETS = Path(__file__).parent / "assets"


def find_model(model: str | Path, precision: str | None = None) -> Path:
    """Resolve what a user gave as model.

    Args:
        model: a `.onnx` file, a directory with some, or "demo" (`./demo` for a directory of that name).
        precision: picks among several files in a directory, e.g. "fp16" takes `tower-fp16.onnx`;
            None takes the only file, or the fp32 one.

    Raises:
        ModelError: nothing there, nothing that fits, or more than one that does.
    """
    path = Path(model)
    if model == DEMO:
        path = ASSETS / "demo.onnx"
        if not path.is_file():
            raise ModelError(f"the demo model is missing from this installation ({path}); install it again")
    if path.is_dir():
        path = _choose(path, precision)
    if not path.is_file():
        raise ModelError(f"{path}: no such model file; make one with `dips-edge export RUN`")
    if path.stat().st_size == 0:
        raise ModelError(f"{path}: the file is empty; export the run again")
    return path


def sha256_of(path: Path) -> str:
    """Hex digest of a file's content."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _choose(directory: Path, precision: str | None) -> Path:
    files = sorted(directory.glob("*.onnx"))
    if not files:
        raise ModelError(f"{directory}: no .onnx file in it; make one with `dips-edge export RUN`")
    if len(files) == 1 and precision is None:
        return files[0]
    wanted = precision or "fp32"
    fitting = [path for path in files if wanted in path.stem.split("-")[1:] or path.stem == wanted]
    if len(fitting) == 1:
        return fitting[0]
    names = ", ".join(path.name for path in files)
    found = "no file" if not fitting else "more than one file"
    raise ModelError(
        f"{directory}: {found} named for precision {wanted!r} among {names}; give the file itself"
    )
