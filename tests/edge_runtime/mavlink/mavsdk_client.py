"""MAVSDK as the receiving end, in a process of its own: `python mavsdk_client.py PORT`.

stdin: a JSON list per line, [function, argument, ...]; stdout: a JSON object per line. It ends with stdin.
"""

from __future__ import annotations

import json
import math
import sys
import threading
import time
from typing import Any

from mavsdk.component_type import ComponentType
from mavsdk.mavsdk import Configuration, Mavsdk
from mavsdk.plugins.camera.camera import Camera, CameraError
from mavsdk.plugins.mavlink_direct.mavlink_direct import MavlinkDirect

_lock = threading.Lock()


def say(**event: Any) -> None:
    with _lock:
        print(json.dumps({"t_ns": time.monotonic_ns(), **event}), flush=True)


def wait_for_camera(sdk: Mavsdk) -> tuple[Any, Camera]:
    while not (systems := [s for s in sdk.get_systems() if s.has_camera()]):
        time.sleep(0.005)
    camera = Camera(systems[0])
    while not (found := camera.camera_list().cameras):
        time.sleep(0.005)
    info = found[0]
    about = {"vendor": info.vendor_name, "model": info.model_name, "compid": info.component_id}
    say(event="camera", sysid=systems[0].get_system_id(), **about)
    return systems[0], camera


def call(camera: Camera, function: str, arguments: list[float | None]) -> str:
    values = [math.nan if a is None else a for a in arguments]
    try:
        return str(getattr(camera, function)(100, *values).name)
    except CameraError as error:
        return str(error.result.name)


def main(port: str) -> None:
    sdk = Mavsdk(Configuration.create_with_component_type(ComponentType.GROUND_STATION))
    say(event="listening", result=sdk.add_any_connection(f"udpin://127.0.0.1:{port}").name)
    system, camera = wait_for_camera(sdk)
    system.subscribe_is_connected(lambda connected, _: say(event="connected", now=connected))
    direct = MavlinkDirect(system)
    for name in ("LANDING_TARGET", "CAMERA_TRACKING_IMAGE_STATUS", "STATUSTEXT", "TIMESYNC"):
        direct.subscribe_message(
            name,
            lambda m, _: say(event=m.message_name, compid=m.component_id, fields=json.loads(m.fields_json)),
        )
    for line in sys.stdin:
        function, *arguments = json.loads(line)
        before_ns = time.monotonic_ns()
        if function == "timesync":
            result = str(system.enable_timesync())
        else:
            result = call(camera, function, arguments)
        say(event="result", of=function, result=result, took_ms=(time.monotonic_ns() - before_ns) / 1e6)
    direct.destroy()
    camera.destroy()
    sdk.destroy()


if __name__ == "__main__":
    main(sys.argv[1])
