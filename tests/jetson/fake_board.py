"""A Jetson that is a folder: release files under a root, and programs in PATH that note how they were called.

FakeBoard(tmp_path, "6.2").run("install.sh", "--dry-run") ──▶ exit code, words, calls, files under the root
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

JETSON = Path(__file__).parents[2] / "jetson"
TIMEOUT_S = 30.0

_RELEASE = "# R{} (release), REVISION: {}, GCID: 38968081, BOARD: generic, EABI: aarch64, DATE: Wed Jan  8\n"
RELEASES = {
    "5.1": (_RELEASE.format(35, "4.1"), "python3.8"),
    "6.2": (_RELEASE.format(36, "4.3"), "python3.10"),
    "7.2": (_RELEASE.format(39, "2.0"), "python3.12"),
}

PROGRAMS = Path(__file__).parent / "programs"
NOTED = ("apt-get", "systemctl", "udevadm", "useradd", "usermod", "g++")  # all of them are `noted`


@dataclass(frozen=True)
class Ran:
    """What a script did: its exit code, stdout, stderr, and the programs it called, one line each."""

    code: int
    out: str
    err: str
    calls: list[str]


class FakeBoard:
    """`root` stands in for /; `environment` is added to that of the scripts."""

    def __init__(self, tmp_path: Path, jetpack: str | None) -> None:
        self.root = tmp_path / "root"
        self.bin = tmp_path / "bin"
        self.calls = tmp_path / "calls"
        self.environment: dict[str, str] = {}
        self.bin.mkdir()
        for program in PROGRAMS.iterdir():
            self._program(self.bin / program.name, program.name)
        for name in NOTED:
            self._program(self.bin / name, "noted")
        self.write("proc/meminfo", "MemTotal: 7802000 kB\nMemAvailable: 5100000 kB\nSwapFree: 3900000 kB\n")
        self._program(self.root / "usr/bin/python3", "python")
        if jetpack is not None:
            release, python = RELEASES[jetpack]
            self.write("etc/nv_tegra_release", release)
            self.write("proc/device-tree/model", "NVIDIA Jetson of a test\0")
            self._program(self.root / "usr/bin" / python, "python")
            self._program(self.root / "usr/local/cuda/bin/nvcc", "noted")

    def write(self, path: str, text: str) -> Path:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def files(self) -> set[str]:
        """Everything under the root, links too."""
        return {str(path.relative_to(self.root)) for path in self.root.rglob("*")}

    def run(self, script: str, *arguments: object, **environment: str) -> Ran:
        with self.start(script, *arguments, **environment) as process:
            out, err = process.communicate(timeout=TIMEOUT_S)
        return Ran(process.returncode, out, err, self.told())

    def interrupt(self, script: str, *arguments: object, **environment: str) -> Ran:
        """Ctrl-C while pip is at work."""
        with self.start(script, *arguments, FAKE_SLEEP_S="20", **environment) as process:
            deadline = time.monotonic() + TIMEOUT_S
            while not (self.root / "asleep").exists():
                assert time.monotonic() < deadline
                time.sleep(0.01)
            os.killpg(process.pid, signal.SIGINT)
            out, err = process.communicate(timeout=TIMEOUT_S)
        return Ran(process.returncode, out, err, self.told())

    def start(self, script: str, *arguments: object, **environment: str) -> subprocess.Popen[str]:
        self.calls.write_text("")
        inherited = {
            key: value for key, value in os.environ.items() if not key.startswith(("SSH_", "PIP_", "FAKE_"))
        }
        return subprocess.Popen(
            [str(JETSON / script), *map(str, arguments)],
            env={
                **inherited,
                **self.environment,
                **environment,
                "PATH": f"{self.bin}:{os.environ['PATH']}",
                "DIPS_EDGE_ROOT": str(self.root),
                "FAKE_CALLS": str(self.calls),
                "FAKE_BIN": str(self.bin),
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=_heed_ctrl_c,
        )

    def told(self) -> list[str]:
        """Calls so far, with the folder of the board left out."""
        return self.calls.read_text().replace(str(self.root), "").splitlines()

    @staticmethod
    def _program(path: Path, name: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(PROGRAMS / name)


def _heed_ctrl_c() -> None:
    """Tests that run in the background of a shell ignore SIGINT, and so would every script they start."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
