"""Log lines of our packages to stderr: plain text for people, times and names with -v.

logging.getLogger(__name__) of any of our rooms ──▶ one handler ──▶ stderr
"""

from __future__ import annotations

import logging
import sys

ROOMS = ("edge_runtime", "calibration", "train", "export")


class _LineFormatter(logging.Formatter):
    """Info lines as they are; anything graver behind its level, like `warning: ...`."""

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        return text if record.levelno <= logging.INFO else f"{record.levelname.lower()}: {text}"


def set_up(*, verbose: bool = False, quiet: bool = False) -> None:
    """Show info lines of our own packages on stderr; debug lines with `verbose`, warnings with `quiet`."""
    level = logging.DEBUG if verbose else logging.WARNING if quiet else logging.INFO
    handler = logging.StreamHandler(sys.stderr)
    if verbose:
        handler.setFormatter(logging.Formatter("%(asctime)s.%(msecs)03d %(name)s: %(message)s", "%H:%M:%S"))
    else:
        handler.setFormatter(_LineFormatter())
    for room in ROOMS:
        logger = logging.getLogger(room)
        logger.handlers[:] = [handler]
        logger.propagate = False
        logger.setLevel(level)
