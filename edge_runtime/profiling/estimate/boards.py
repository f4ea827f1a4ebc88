"""Jetson boards as a roofline needs them: peaks, bandwidth, memory, and which of these numbers are confirmed.

what a user typed ──find_board──▶ Board

Peaks are dense and of the GPU alone; NVIDIA's headline TOPS are sparse and of some boards count the DLAs,
too. FP16 of Orin = tensor cores x 256 multiply-adds x 2 x clock, INT8 twice that; it reproduces NVIDIA's
sparse figures of the GPU (Orin Nano Super 67, AGX Orin 64 GB 170 TOPS). FP32 is that of the CUDA cores, cores
x 2 x clock: fp32 engines are built with TF32 off. Sources: the table of NVIDIA boards in Ultralytics' Jetson
guide, the Orin Nano data sheet, NVIDIA's forum (356355) and the T5000 entry of Hugging Face's hardware list
for Thor; a number that none of them gives is in `unconfirmed`.
"""

from __future__ import annotations

import difflib
import itertools
import re
from dataclasses import dataclass

from edge_runtime.errors import ProfileError

_ORIN_SOFTWARE = "JetPack 5.1 to 7.2, TensorRT 8.5 to 10.16"
_SUPER_SOFTWARE = "JetPack 6.1 to 7.2, TensorRT 10.3 to 10.16"
_AGX_SOFTWARE = "JetPack 5.1 to 7.2, TensorRT 8.5 to 10.16 (11.4 from JetPack 7.2.2)"
_THOR_SOFTWARE = "JetPack 7.0 to 7.2, TensorRT 10.13 to 10.16 (11.4 from JetPack 7.2.2)"


@dataclass(frozen=True)
class Board:
    """One module at the clocks of its highest power mode.

    Attributes:
        chip: "Orin", "Xavier" or "Thor".
        gpu_mhz: highest clock of the GPU.
        fp16_tflops: dense peak of the GPU's tensor cores.
        int8_tops: the same for INT8; None where no source gives one.
        dla: deep-learning accelerators, 0 to 2.
        modes: power modes by name.
        encoder: whether it has a hardware video encoder.
        measured: precisions of which published latencies of this very board, at this clock, were checked.
        unconfirmed: names of the fields above that are derived or from memory.
    """

    name: str
    chip: str
    cuda_cores: int
    gpu_mhz: int
    memory_gb: int
    bandwidth_gbs: float
    fp16_tflops: float
    int8_tops: float | None
    dla: int
    modes: str
    software: str
    encoder: bool = True
    measured: tuple[str, ...] = ()
    unconfirmed: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """How it is written on a command line, e.g. "orin-nano-8gb-super"."""
        return self.name.lower().replace(" ", "-")

    @property
    def fp32_tflops(self) -> float:
        """Peak of the CUDA cores."""
        return self.cuda_cores * 2 * self.gpu_mhz / 1e6

    def peak(self, precision: str) -> float | None:
        """FLOP/s (or op/s) of "fp32", "fp16" or "int8"; None where it is not known."""
        tera = {"fp32": self.fp32_tflops, "fp16": self.fp16_tflops, "int8": self.int8_tops}[precision]
        return None if tera is None else tera * 1e12


_NANO_MODES, _NX_MODES = "7W, 15W", "10W, 15W, {}, 40W, MAXN_SUPER"
BOARDS = (
    Board("Orin Nano 4GB", "Orin", 512, 625, 4, 34, 5.1, 10.2, 0, "7W, 10W", _ORIN_SOFTWARE,
          encoder=False, unconfirmed=("bandwidth_gbs", "modes")),
    Board("Orin Nano 4GB Super", "Orin", 512, 1020, 4, 51, 8.4, 16.7, 0, "10W, 25W, MAXN_SUPER",
          _SUPER_SOFTWARE, encoder=False),
    Board("Orin Nano 8GB", "Orin", 1024, 625, 8, 68, 10.2, 20.5, 0, _NANO_MODES, _ORIN_SOFTWARE,
          encoder=False, unconfirmed=("modes",)),
    Board("Orin Nano 8GB Super", "Orin", 1024, 1020, 8, 102, 16.7, 33.4, 0, "15W, 25W, MAXN_SUPER",
          _SUPER_SOFTWARE, encoder=False, measured=("fp32", "fp16", "int8")),
    Board("Orin NX 8GB", "Orin", 1024, 765, 8, 102.4, 12.5, 25.1, 1, "10W, 15W, 20W", _ORIN_SOFTWARE),
    Board("Orin NX 8GB Super", "Orin", 1024, 1173, 8, 102.4, 19.2, 38.4, 1, _NX_MODES.format("20W"),
          _SUPER_SOFTWARE),
    Board("Orin NX 16GB", "Orin", 1024, 918, 16, 102.4, 15.0, 30.1, 2, "10W, 15W, 25W", _ORIN_SOFTWARE,
          measured=("fp16", "int8")),
    Board("Orin NX 16GB Super", "Orin", 1024, 1173, 16, 102.4, 19.2, 38.4, 2, _NX_MODES.format("25W"),
          _SUPER_SOFTWARE),
    Board("AGX Orin 32GB", "Orin", 1792, 930, 32, 204.8, 26.7, 53.3, 2, "15W to 40W", _AGX_SOFTWARE,
          unconfirmed=("gpu_mhz", "modes")),
    Board("AGX Orin 64GB", "Orin", 2048, 1300, 64, 204.8, 42.6, 85.2, 2, "15W to 60W", _AGX_SOFTWARE,
          measured=("fp16", "int8")),
    Board("Xavier NX 8GB", "Xavier", 384, 1100, 8, 59.7, 6.8, 13.5, 2, "10W, 15W, 20W",
          "JetPack 5.1, TensorRT 8.5", unconfirmed=("fp16_tflops", "int8_tops")),
    Board("Xavier NX 16GB", "Xavier", 384, 1100, 16, 59.7, 6.8, 13.5, 2, "10W, 15W, 20W",
          "JetPack 5.1, TensorRT 8.5", unconfirmed=("fp16_tflops", "int8_tops")),
    Board("Thor T5000", "Thor", 2560, 1577, 128, 273, 258.5, None, 0, "40W to 130W", _THOR_SOFTWARE,
          unconfirmed=("gpu_mhz",)),
    Board("Thor T4000", "Thor", 1536, 1526, 64, 273, 150, None, 0, "40W to 70W", _THOR_SOFTWARE,
          unconfirmed=("gpu_mhz", "fp16_tflops")),
)  # fmt: skip
# Names without their memory or form: what they most often mean.
_SHORT = {
    "orin nano": "Orin Nano 8GB",
    "orin nano super": "Orin Nano 8GB Super",
    "orin nx": "Orin NX 16GB",
    "orin nx super": "Orin NX 16GB Super",
    "agx orin": "AGX Orin 64GB",
    "orin agx": "AGX Orin 64GB",
    "xavier nx": "Xavier NX 8GB",
    "thor": "Thor T5000",
    "agx thor": "Thor T5000",
    "t5000": "Thor T5000",
    "t4000": "Thor T4000",
}
_NOISE = ("nvidia", "jetson", "developer", "devkit", "kit", "module", "engineering", "reference")


def find_board(typed: str) -> Board:
    """The board a user means: any case, with or without blanks, dashes and "GB", words in any order.

    Raises:
        ProfileError: no such board; names those that look like it, or all.
    """
    spelled = {spelling: board for board in BOARDS for spelling in _spellings(board.name)}
    for short, name in _SHORT.items():
        spelled.setdefault(_compact(short), next(board for board in BOARDS if board.name == name))
    asked = _compact(typed)
    if asked in spelled:
        return spelled[asked]
    keys = [board.key for board in BOARDS]
    near = [board.key for board in BOARDS if asked and asked in _compact(board.name)]
    near = near or difflib.get_close_matches("-".join(typed.lower().split()), keys, n=3, cutoff=0.6)
    advice = f"did you mean {' or '.join(near)}?" if near else f"known are {', '.join(keys)}"
    raise ProfileError(f"board {typed!r} is not known; {advice}")


def _compact(name: str) -> str:
    """ "Jetson Orin_Nano 8 GB" and "orin-nano-8" as "orinnano8"."""
    text = re.sub("|".join(_NOISE), " ", name.lower())
    return re.sub(r"[^a-z0-9]", "", re.sub(r"(\d) *[-_]?gb", r"\1 ", text))


def _spellings(name: str) -> set[str]:
    """A board's name with its words in every order."""
    words = [_compact(word) for word in name.split()]
    return {"".join(order) for order in itertools.permutations(words)}
