"""A network camera for tests, run by the system's Python (needs GObject and GStreamer's RTSP server):

    /usr/bin/python3 stream_camera.py rtsp|ts|rtp PORT [--codec h264|jpeg] [--fps 30] [--gop 15]
        [--user U --password P]

`rtsp` serves rtsp://127.0.0.1:PORT/cam; `ts` and `rtp` send MPEG-TS or RTP to UDP port PORT. Frames are
640 x 480; their top row is a bar code of the moment they were made: 20 black or white blocks, most
significant first, of the monotonic clock in milliseconds modulo 2^20. Prints `ready` when it runs.
"""

import argparse
import sys
import time

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

WIDTH, HEIGHT, BITS = 640, 480, 20
BLOCK = WIDTH // BITS
H264 = "x264enc tune=zerolatency speed-preset=ultrafast key-int-max={gop} bitrate=2000"
CODECS = {
    "h264": H264 + " ! rtph264pay name=pay0 pt=96 config-interval=-1",
    "jpeg": "jpegenc quality=70 ! rtpjpegpay name=pay0",
}


def picture(now_ms: int) -> bytes:
    """An I420 frame with the bar code of `now_ms`, gray elsewhere."""
    row = b"".join((b"\xeb" if now_ms >> bit & 1 else b"\x10") * BLOCK for bit in reversed(range(BITS)))
    return row * BLOCK + b"\x60" * (WIDTH * (HEIGHT - BLOCK)) + b"\x80" * (WIDTH * HEIGHT // 2)


class Exposures:
    """Feeds an `appsrc` with a frame whenever one is due: never sooner than a period after the one before.

    A lost moment is not made up for: a frame that follows too soon would end the wait of the one before
    in the decoder early, as no camera's does.
    """

    def __init__(self, fps: float) -> None:
        self._period_s = 1 / fps
        self._due_s = time.monotonic()

    def feed(self, source, _length=0) -> None:
        """The `need-data` signal: push the next frame, stamped by the pipeline's clock (`do-timestamp`)."""
        time.sleep(max(0.0, self._due_s - time.monotonic()))
        self._due_s = time.monotonic() + self._period_s
        now_ms = time.monotonic_ns() // 1_000_000 % (1 << BITS)
        source.emit("push-buffer", Gst.Buffer.new_wrapped(picture(now_ms)))


def serve(launch: str, exposures: Exposures, options: argparse.Namespace) -> object:
    """An RTSP server; the caller keeps it alive."""
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(f"( {launch} )")
    factory.set_shared(True)
    factory.connect(
        "media-configure",
        lambda _, media: media.get_element().get_by_name("src").connect("need-data", exposures.feed),
    )
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(str(options.port))
    if options.user:
        restrict(server, factory, options.user, options.password)
    server.get_mount_points().add_factory("/cam", factory)
    if server.attach(None) == 0:
        sys.exit(f"port {options.port} is taken")
    return server


def restrict(server, factory, user: str, password: str) -> None:
    """Let this user in and nobody else (Basic and Digest)."""
    auth = GstRtspServer.RTSPAuth()
    auth.set_supported_methods(2)  # Digest
    token = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", "user")
    auth.add_digest(user, password, token)
    permissions = GstRtspServer.RTSPPermissions()
    permissions.add_permission_for_role("user", "media.factory.access", True)
    permissions.add_permission_for_role("user", "media.factory.construct", True)
    factory.set_permissions(permissions)
    server.set_auth(auth)


def send(launch: str, exposures: Exposures) -> object:
    """A pipeline that sends without being asked; the caller keeps it alive."""
    pipeline = Gst.parse_launch(launch)
    pipeline.get_by_name("src").connect("need-data", exposures.feed)
    pipeline.set_state(Gst.State.PLAYING)
    return pipeline


def main() -> None:
    """Run until killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=["rtsp", "ts", "rtp"])
    parser.add_argument("port", type=int)
    parser.add_argument("--codec", choices=CODECS, default="h264")
    parser.add_argument("--fps", type=int, default=30)
    parser.add_argument("--gop", type=int, default=15, help="frames from one key frame to the next")
    parser.add_argument("--user")
    parser.add_argument("--password")
    options = parser.parse_args()
    Gst.init(None)
    source = (
        "appsrc name=src is-live=true do-timestamp=true format=time max-bytes=1 "
        f"caps=video/x-raw,format=I420,width={WIDTH},height={HEIGHT},framerate={options.fps}/1 ! "
    )
    udp = f" ! udpsink host=127.0.0.1 port={options.port} sync=false"
    codec, h264 = CODECS[options.codec].format(gop=options.gop), H264.format(gop=options.gop)
    exposures = Exposures(options.fps)
    if options.kind == "rtsp":
        running = serve(source + codec, exposures, options)
    elif options.kind == "rtp":
        running = send(source + codec + udp, exposures)
    else:
        running = send(f"{source}{h264} ! mpegtsmux alignment=1{udp}", exposures)
    print("ready", flush=True)
    GLib.MainLoop().run()
    del running


if __name__ == "__main__":
    main()
