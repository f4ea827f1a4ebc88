"""Which file `--model` means: a file, the one of a directory that suits the device, or the demo model.

--model VALUE + Suits of the device ──find_model──▶ path of one .onnx, checked to exist and not to be empty
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edge_runtime.errors import ModelError
from edge_runtime.onnxfile import read_contract

if TYPE_CHECKING:
    from edge_runtime.contract import ModelContract

DEMO = "demo"
ASSETS = Path(__file__).parent / "assets"
# target of a file: what it is written for, in words
_WRITTEN_FOR = {"cpu": "CPUs", "tensorrt10": "TensorRT 10 and newer", "tensorrt8": "TensorRT 8.5 to 10"}


@dataclass(frozen=True)
class Suits:
    """Which files a device runs as they are meant to be run.

    Attributes:
        device: in words, for messages.
        targets: `ModelContract.target` of the files it takes, best first.
        precisions: tried in this order where none is asked for.
    """

    device: str
    targets: tuple[str, ...]
    precisions: tuple[str, ...]


CPU = Suits("the CPU", ("cpu", "any"), ("fp32",))


def tensorrt_suits(label: str, major: int, rtx: bool) -> Suits:
    """What TensorRT of the version `major` runs; `label` is its name in messages."""
    if rtx or major >= 11:
        targets: tuple[str, ...] = ("tensorrt10", "any")
    elif major == 10:
        targets = ("tensorrt10", "any", "tensorrt8")
    else:
        targets = ("tensorrt8", "any")
    return Suits(label, targets, ("fp16", "fp32"))


def find_model(model: str | Path, precision: str | None = None, suits: Suits = CPU) -> Path:
    """Resolve what a user gave as model.

    Args:
        model: a `.onnx` file, a directory with some, or "demo" (`./demo` for a directory of that name).
        precision: picks among several files in a directory by their contracts; None takes what `suits`
            says, or the only file.
        suits: of the device that will run it.

    Raises:
        ModelError: nothing there, nothing that fits, or more than one that does.
    """
    path = Path(model)
    if model == DEMO:
        path = ASSETS / "demo.onnx"
        if not path.is_file():
            raise ModelError(f"the demo model is missing from this installation ({path}); install it again")
    if path.is_dir():
        path = _choose(path, precision, suits)
    if not path.is_file():
        raise ModelError(f"{path}: no such model file; make one with `dips-edge export RUN`")
    if path.stat().st_size == 0:
        raise ModelError(f"{path}: the file is empty; export the run again")
    return path


def misfit(contract: ModelContract, suits: Suits) -> str | None:
    """Why a file is not for this device, as the end of a sentence; None when it is."""
    if contract.target in suits.targets:
        return None
    return f"is an {contract.precision} file for {_WRITTEN_FOR[contract.target]}, this is {suits.device}"


def sha256_of(path: Path) -> str:
    """Hex digest of a file's content."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _choose(directory: Path, precision: str | None, suits: Suits) -> Path:
    files = sorted(path for path in directory.glob("*.onnx") if not path.name.startswith("."))
    if not files:
        raise ModelError(f"{directory}: no .onnx file in it; make one with `dips-edge export RUN`")
    if len(files) == 1 and precision is None:
        return files[0]
    contracts = {path: _contract_of(path) for path in files}
    ours = {path: contract for path, contract in contracts.items() if contract is not None}
    fitting = _best(ours, precision, suits)
    if len(fitting) != 1:
        names = ", ".join(f"{path.name} ({_described(contracts[path])})" for path in files)
        found = "no file" if not fitting else "more than one file"
        wanted = "to take" if precision is None else f"of precision {precision!r}"
        raise ModelError(
            f"{directory}: {found} {wanted} for {suits.device} among {names}; give the file itself"
        )
    _check_source(fitting[0], ours)
    return fitting[0]


def _best(ours: dict[Path, ModelContract], precision: str | None, suits: Suits) -> list[Path]:
    """Files of the first precision there is, and among these of the best target."""
    fitting = [path for path, contract in ours.items() if contract.target in suits.targets]
    for wanted in suits.precisions if precision is None else (precision,):
        found = [path for path in fitting if ours[path].precision == wanted]
        if found:
            best = min(suits.targets.index(ours[path].target) for path in found)
            return [path for path in found if suits.targets.index(ours[path].target) == best]
    return fitting if precision is None else []


def _check_source(path: Path, ours: dict[Path, ModelContract]) -> None:
    """A file made from an fp32 file that lies beside it must be made from what that file is now."""
    made_from, run_id = ours[path].fp32_sha256, ours[path].run_id
    sources = [other for other, c in ours.items() if c.precision == "fp32" and c.run_id == run_id]
    if made_from is None or not sources or any(sha256_of(source) == made_from for source in sources):
        return
    raise ModelError(
        f"{path}: not made from the {sources[0].name} beside it (sha256 differs): one of them was changed "
        "or exported again; export both again, or give the file itself"
    )


def _contract_of(path: Path) -> ModelContract | None:
    try:
        return read_contract(path)
    except ModelError:
        return None


def _described(contract: ModelContract | None) -> str:
    if contract is None:
        return "no valid dips-edge model"
    return contract.precision if contract.target == "any" else f"{contract.precision} for {contract.target}"
