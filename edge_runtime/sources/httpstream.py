"""One HTTP answer without end: connects, logs in, follows redirections, then gives bytes as they arrive."""

from __future__ import annotations

import contextlib
import http.client
import select
import socket
import ssl
import threading
from urllib.parse import SplitResult, unquote, urljoin, urlsplit

from edge_runtime.sources.healing import LinkLost
from edge_runtime.sources.httpauth import authorization
from edge_runtime.sources.rtsptalk import unreachable

_MOST_REDIRECTIONS = 5
_CHUNK = 65536
_STREAMS = ("multipart/", "video/x-motion-jpeg", "video/x-jpeg", "video/mjpeg", "application/octet-stream")
_MEANINGS = {403: "the server forbids access", 404: "the server has no stream of this path"}


class HttpStream:
    """An open answer that may hold JPEG pictures. `interrupt` from any thread, the rest from one."""

    def __init__(self, url: str, open_s: float, *, insecure: bool) -> None:
        """Raises LinkLost with one line when there is no such stream within `open_s` seconds."""
        self._open_s, self._insecure = open_s, insecure
        self._connection: http.client.HTTPConnection | None = None
        self._socket: socket.socket | None = None
        self._timed_out = False
        watch = threading.Timer(open_s, self._time_out)
        watch.daemon = True
        watch.start()
        try:
            self._response = self._get(url)
        except BaseException:
            self.close()
            raise
        finally:
            watch.cancel()

    def receive(self, timeout_s: float) -> bytes:
        """What has arrived, waiting up to `timeout_s` for it.

        Raises:
            LinkLost: nothing came, or the answer has ended.
        """
        assert self._socket is not None
        try:
            self._socket.settimeout(timeout_s)
            data = self._response.read1(_CHUNK)
        except (TimeoutError, socket.timeout):  # two kinds before Python 3.10
            raise LinkLost(f"silent for {timeout_s:.2g} s") from None
        except (OSError, ValueError, http.client.HTTPException):  # ValueError: hung up by `interrupt`
            raise LinkLost("the connection broke off") from None
        if not data:
            raise LinkLost("the server ended the stream")
        return data

    def has_more(self) -> bool:
        """Whether something has arrived already."""
        assert self._socket is not None
        try:
            return bool(select.select([self._socket], [], [], 0)[0])
        except (OSError, ValueError):  # hung up by `interrupt`: `receive` will tell
            return True

    def interrupt(self) -> None:
        """Hang up under the thread that waits."""
        if self._socket is not None:
            with contextlib.suppress(OSError):  # not SSLSocket's own, which takes the reader's state away
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def close(self) -> None:
        """Hang up and release the socket."""
        for opened in (getattr(self, "_response", None), self._connection, self._socket):
            if opened is not None:
                with contextlib.suppress(OSError):
                    opened.close()

    def _time_out(self) -> None:
        self._timed_out = True
        self.interrupt()

    def _get(self, url: str) -> http.client.HTTPResponse:
        answer = ""
        for _ in range(_MOST_REDIRECTIONS + 2):
            parts = urlsplit(url)
            response = self._request(parts, answer)
            challenge, location = response.getheader("WWW-Authenticate"), response.getheader("Location")
            if response.status == 401 and challenge and parts.username and not answer:
                user, password = unquote(parts.username), unquote(parts.password or "")
                answer = authorization(challenge, "GET", _path(parts), user, password)
            elif response.status in (301, 302, 303, 307, 308) and location:
                url, answer = _redirected(parts, location), ""
            else:
                _check(response, parts)
                return response
            response.close()
            self.close()
        raise LinkLost("the server redirects in a circle")

    def _request(self, parts: SplitResult, answer: str) -> http.client.HTTPResponse:
        host = parts.hostname or ""
        port = parts.port or (443 if parts.scheme == "https" else 80)
        headers = {"User-Agent": "dips-edge", "Accept": "*/*"}
        if answer:
            headers["Authorization"] = answer
        try:
            self._connection = self._connect(parts.scheme, host, port)
            self._connection.request("GET", _path(parts), headers=headers)
            response = self._connection.getresponse()
        except (http.client.HTTPException, ValueError, ConnectionResetError, BrokenPipeError):
            if self._timed_out:
                raise LinkLost(f"{host} port {port} does not answer within {self._open_s:g} s") from None
            raise LinkLost(f"{host} port {port} answers, but not as an HTTP server does") from None
        except OSError as error:
            raise LinkLost(unreachable(error, host, port)) from None
        if self._timed_out:  # in the middle of the headers: they look as if they had ended
            response.close()
            raise LinkLost(f"{host} port {port} does not answer within {self._open_s:g} s")
        return response

    def _connect(self, scheme: str, host: str, port: int) -> http.client.HTTPConnection:
        if scheme == "https":
            tls = ssl.create_default_context()
            if self._insecure:
                tls.check_hostname = False
                tls.verify_mode = ssl.CERT_NONE
            connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                host, port, timeout=self._open_s, context=tls
            )
        else:
            connection = http.client.HTTPConnection(host, port, timeout=self._open_s)
        connection.connect()
        self._socket = connection.sock
        return connection


def _path(parts: SplitResult) -> str:
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def _redirected(before: SplitResult, location: str) -> str:
    """Where the server sends us; the password goes along only within the same host and protocol."""
    after = urlsplit(urljoin(before.geturl(), location))
    if after.scheme not in ("http", "https") or not after.hostname:
        raise LinkLost("the server redirects to something that is no HTTP")
    same = (after.scheme, after.hostname) == (before.scheme, before.hostname)
    if same and before.username and not after.username:
        user_info = before.netloc.rpartition("@")[0]
        after = after._replace(netloc=f"{user_info}@{after.netloc}")
    return after.geturl()


def _check(response: http.client.HTTPResponse, parts: SplitResult) -> None:
    kind = response.headers.get_content_type() if response.getheader("Content-Type") else "no type"
    if response.status == 401 and parts.username is None:
        raise LinkLost(f"the server wants a user name and password: {parts.scheme}://USER:PASSWORD@HOST/...")
    if response.status == 401:
        raise LinkLost("the server refuses this user name or password (401)")
    if response.status != 200:
        raise LinkLost(f"{_MEANINGS.get(response.status, 'the server refuses')} ({response.status})")
    if kind == "image/jpeg":
        raise LinkLost("this address gives one picture, expected a stream of them (motion JPEG)")
    if kind != "no type" and not kind.startswith(_STREAMS):
        raise LinkLost(f"the server sends {kind[:40]}, expected motion JPEG (multipart/x-mixed-replace)")
