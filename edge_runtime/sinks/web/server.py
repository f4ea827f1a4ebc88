"""HTTP and WebSocket for the page, in a thread of its own; the only file that needs `websockets`.

browser ──GET / (token)──▶ page ──/live──▶ question, answer, question, ...

A viewer gets one answer for each question and asks again once it has drawn it, so nothing ever queues up for
a slow one. Whoever is slow, rude or one too many loses its connection; nobody else notices.
"""

from __future__ import annotations

import asyncio
import hmac
import http
import ipaddress
import logging
import threading
from functools import partial
from pathlib import Path
from time import monotonic, monotonic_ns
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, quote

from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

if TYPE_CHECKING:
    import socket

    from edge_runtime.sinks.base import Result
    from edge_runtime.sinks.web.board import Board

log = logging.getLogger(__name__)

MOST_VIEWERS = 8
MOST_UNFINISHED = 24  # connections that have not asked for anything whole
OPEN_S = 5.0  # from connection to whole request
IDLE_S = 0.5  # without a new picture an answer comes after so long
ALIVE_S = 5.0  # a viewer's ping, and how long its answer may take
CLOSE_S = 0.3
QUESTIONS = ("next", "next heat")
_TYPES = {"/": "text/html", "/page.css": "text/css", "/page.js": "text/javascript"}
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' blob: data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Server:
    """Serves one board on one bound socket from `start` to `stop`."""

    def __init__(self, bound: socket.socket, board: Board, *, token: str | None, fps: float) -> None:
        """`token`: None for a loopback address that everyone on this machine may look at."""
        self.viewers = 0
        self.failure: str | None = None  # why nobody is answered any more
        self._socket, self._board, self._token, self._period_s = bound, board, token, 1 / fps
        self._pages = _assets(token)
        self._handshaking: dict[_Connection, None] = {}
        self._loop = asyncio.new_event_loop()
        self._stopped = self._loop.create_future()
        self._thread = threading.Thread(target=self._run, name="web server", daemon=True)

    def start(self) -> None:
        """Answer from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Say goodbye to all viewers and end the thread; within a second."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._end)
            self._thread.join(3 * CLOSE_S)
        elif not self._loop.is_closed():
            self._loop.close()
        self._socket.close()

    def _end(self) -> None:
        if not self._stopped.done():
            self._stopped.set_result(None)

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        except Exception as error:  # a thread must not die in silence: the sink tells it
            log.debug("the web server broke off", exc_info=error)
            self.failure = f"{type(error).__name__}: {error}"
        finally:
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.close()

    async def _serve(self) -> None:
        silent = logging.Logger("websockets", logging.CRITICAL + 1)  # it would log every stranger's mistake
        async with serve(
            self._view,
            sock=self._socket,
            create_connection=partial(_Connection, self._handshaking),  # type: ignore[arg-type]
            process_request=self._answer,
            open_timeout=OPEN_S,
            ping_interval=ALIVE_S,
            ping_timeout=ALIVE_S,
            close_timeout=CLOSE_S,
            max_size=64,
            max_queue=2,
            write_limit=1 << 16,
            compression=None,
            server_header=None,
            logger=silent,
        ):
            await self._stopped
            for unfinished in list(self._handshaking):  # the library would wait for their requests
                unfinished.transport.abort()
            self._board.wake()

    def _answer(self, connection: ServerConnection, request: Request) -> Response | None:
        """A page, a refusal, or None to let a viewer in."""
        path, _, query = request.path.partition("?")
        if not self._is_from_here(request.headers):
            return _response(403, "this page is not to be shown by another one\n")
        if self._token is not None:
            given = parse_qs(query).get("token", [""])[-1]
            if not hmac.compare_digest(given.encode(errors="replace"), self._token.encode()):
                return _response(403, "a token is needed: open the page with ?token=...\n")
        if path == "/live":
            if "websocket" not in _field(request.headers, "Upgrade").lower():
                return _response(426, "a WebSocket lives here\n")
            return _response(503, "too many viewers\n") if self.viewers >= MOST_VIEWERS else None
        if path not in self._pages:
            return _response(404, "no such page\n")
        return _response(200, self._pages[path], _TYPES[path])

    def _is_from_here(self, headers: Headers) -> bool:
        """No other site asks through a browser on this machine, by its own name or by one it lent us."""
        host, origin = _field(headers, "Host"), _field(headers, "Origin")
        if origin and origin.partition("://")[2] != host:
            return False
        return self._token is not None or _is_loopback_host(host)

    async def _view(self, viewer: ServerConnection) -> None:
        self._handshaking.pop(viewer, None)  # type: ignore[call-overload]
        self.viewers += 1
        try:
            await self._converse(viewer)
        except (ConnectionClosed, OSError):
            pass
        except Exception as error:  # one viewer's answer cannot be made: the others go on
            log.debug("a viewer of the web page was given up", exc_info=error)
        finally:
            self.viewers -= 1

    async def _converse(self, viewer: ServerConnection) -> None:
        """Answer its questions one by one, each with the newest picture it has not seen."""
        seen: Result | None = None
        not_before_s = live_at_s = 0.0
        while True:
            question = await viewer.recv()
            asked_ns = monotonic_ns()
            if question not in QUESTIONS:
                await viewer.close(1008, "expected: next")
                return
            if await self._stops_within(not_before_s - monotonic()):
                await viewer.close(1001)
                return
            result = await self._board.newer_than(seen, IDLE_S)
            now_s = monotonic()
            reply = self._board.reply(
                result,
                heat=question == QUESTIONS[1],
                asked_ns=asked_ns,
                with_live=now_s - live_at_s >= IDLE_S,
                with_header=live_at_s == 0.0,
            )
            not_before_s = now_s + self._period_s
            live_at_s = now_s if now_s - live_at_s >= IDLE_S else live_at_s
            seen = result or seen
            await viewer.send(reply)

    async def _stops_within(self, seconds: float) -> bool:
        """Wait so long, or until the server is to stop."""
        await asyncio.wait({self._stopped}, timeout=max(0.0, seconds))
        return self._stopped.done()


class _Connection(ServerConnection):
    """A connection that gives way to newer ones while it has not asked for anything whole."""

    def __init__(self, handshaking: dict[_Connection, None], *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._all = handshaking
        self._is_first = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._all[self] = None
        if len(self._all) > MOST_UNFINISHED:
            next(iter(self._all)).transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._all.pop(self, None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Refuse other methods than GET with words; the library would only hang up."""
        is_first, self._is_first = self._is_first, False
        if is_first and not data.startswith(b"GET "[: len(data)]):
            self.transport.write(_response(405, "only GET is answered here\n").serialize())
            self.transport.close()
            return
        super().data_received(data)


def _response(status: int, body: str | bytes, kind: str = "text/plain") -> Response:
    body = body.encode() if isinstance(body, str) else body
    headers = Headers({**_HEADERS, "Content-Type": f"{kind}; charset=utf-8", "Connection": "close"})
    headers["Content-Length"] = str(len(body))
    if status == 405:
        headers["Allow"] = "GET"
    return Response(status, http.HTTPStatus(status).phrase, headers, body)


def _assets(token: str | None) -> dict[str, bytes]:
    """The page's files by path; its links carry the token on."""
    folder = Path(__file__).parent / "assets"
    query = "" if token is None else f"?token={quote(token, safe='')}"
    html = (folder / "page.html").read_text("utf-8").replace("{query}", query)
    return {
        "/": html.encode(),
        "/page.css": (folder / "page.css").read_bytes(),
        "/page.js": (folder / "page.js").read_bytes(),
    }


def _field(headers: Headers, name: str) -> str:
    return ", ".join(headers.get_all(name))


def _is_loopback_host(host: str) -> bool:
    """Whether a Host field names this machine in a way no name server has a say in."""
    name = host.rpartition("]")[0].lstrip("[") if host.startswith("[") else host.partition(":")[0]
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"
