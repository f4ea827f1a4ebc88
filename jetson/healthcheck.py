"""Health of the container: exit code 0 when a record comes by UDP within the time given, and it is no FAULT.

`dips-edge run --sink udp://127.0.0.1:5099` sends one per frame. Plain Python: it costs a board little.
"""

import json
import socket
import sys
import time

PORT = 5099
WAIT_S = 5.0


def main() -> int:
    deadline_s = time.monotonic() + WAIT_S
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        try:
            listener.bind(("127.0.0.1", PORT))
            while (left_s := deadline_s - time.monotonic()) > 0:
                listener.settimeout(left_s)
                record = json.loads(listener.recv(65536))
                if record.get("type") == "track":
                    print(record["state"])
                    return int(record["state"] == "FAULT")
        except (OSError, ValueError, KeyError) as error:
            print(f"no record on UDP port {PORT}: {error}")
            return 1
    print(f"no record on UDP port {PORT} within {WAIT_S:g} s")
    return 1


if __name__ == "__main__":
    sys.exit(main())
