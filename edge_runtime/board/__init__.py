"""What the board's own sensors say while something runs: watts, degrees, clocks, memory, throttling.

files below /sys and /proc ──Sensors.read──▶ Reading, every second ──BoardSampler──▶ `board` of a profile

Every function takes the root the files lie under. Reading never raises: what cannot be read is left out and
noted with the reason. Needs nothing but files that any user may read; only the memory clock of boards before
Thor lies below /sys/kernel/debug, which is root's.

jtop (jetson-stats) is not used: it is AGPL-3.0, needs a service that runs as root, and in a container that
service's socket. It reads these same files. Nor is tegrastats: a process to start and to parse, whose line
differs from release to release, where the kernel's files do not.
"""

from __future__ import annotations

from edge_runtime.board.sampler import BoardSampler, energy

__all__ = ["BoardSampler", "energy"]
