"""A receiver in a process of its own: `python receiver.py [KEY_HEX]`, pymavlink with ArduPilot's dialect.

stdout: its port, then, once stdin ends, a JSON list [t_ns, name, signed, fields] for each message, and the
number of packets that were refused. It speaks to nobody.
"""

from __future__ import annotations

import contextlib
import json
import select
import socket
import sys
import time
from typing import Any

from pymavlink.dialects.v20 import ardupilotmega

KEPT = ("LANDING_TARGET", "CAMERA_TRACKING_IMAGE_STATUS", "HEARTBEAT", "STATUSTEXT")


def fields_of(message: Any) -> dict[str, Any]:
    return {k: v for k, v in message.to_dict().items() if not isinstance(v, float) or v == v}


def main(key: str = "") -> None:
    codec = ardupilotmega.MAVLink(None)
    codec.robust_parsing = True
    if key:
        codec.signing.secret_key = bytes.fromhex(key)
        codec.signing.allow_unsigned_callback = lambda *_: False
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp, contextlib.suppress(KeyboardInterrupt):
        udp.bind(("127.0.0.1", 0))
        print(udp.getsockname()[1], flush=True)
        came = []
        while True:
            ready, _, _ = select.select([udp, sys.stdin], [], [])
            if udp in ready:
                data = udp.recv(2048)
                now_ns = time.monotonic_ns()
                came += [(now_ns, m) for m in codec.parse_buffer(data) or [] if m.get_type() in KEPT]
            elif not sys.stdin.readline():
                break
    for t_ns, message in came:
        print(json.dumps([t_ns, message.get_type(), message.get_signed(), fields_of(message)]))
    print(json.dumps(codec.signing.reject_count))


if __name__ == "__main__":
    main(*sys.argv[1:])
