"""A TCP server in threads of the test, whose talk with each client is a function of the test."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Talk = Callable[[socket.socket, bytes], None]

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=cut\r\n\r\n"


class TcpServer:
    """Calls `talk(client, request)` for each client, in a thread; `request` goes up to the blank line."""

    def __init__(self, talk: Talk, port: int = 0, *, listens: bool = True) -> None:
        self._talk = talk
        self._listens = listens  # to the request before it talks
        self._listener = socket.create_server(("127.0.0.1", port))
        self.port = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/video"
        self.requests: list[bytes] = []
        self._clients: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> TcpServer:
        return self

    def __exit__(self, *_: object) -> None:
        self._hang_up(self._listener)
        for client in self._clients:
            self._hang_up(client)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._clients.append(client)
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            request = b""
            while self._listens and b"\r\n\r\n" not in request and (received := client.recv(4096)):
                request += received
            self.requests.append(request)
            self._talk(client, request)
        self._hang_up(client)

    @staticmethod
    def _hang_up(opened: socket.socket) -> None:
        with contextlib.suppress(OSError):
            opened.shutdown(socket.SHUT_RDWR)
        opened.close()


def jpeg(brightness: int, side: int = 32) -> bytes:
    """A gray picture, (side, side)."""
    return cv2.imencode(".jpg", np.full((side, side, 3), brightness % 256, np.uint8))[1].tobytes()


def part(picture: bytes, *headers: str, length: bool = True) -> bytes:
    """One part of a multipart answer."""
    lines = ["--cut", "Content-Type: image/jpeg", *headers]
    lines += [f"Content-Length: {len(picture)}"] if length else []
    return "\r\n".join([*lines, "", ""]).encode() + picture + b"\r\n"


def pictures(fps: float = 50, count: int = 10**6) -> Iterator[bytes]:
    """Parts at a steady rate, each one step brighter."""
    for i in range(count):
        yield part(jpeg(i))
        time.sleep(1 / fps)


def stream(fps: float = 50, count: int = 10**6) -> Talk:
    """A camera that gives `count` pictures to each client, then hangs up."""

    def talk(client: socket.socket, _: bytes) -> None:
        client.sendall(HEAD)
        for text in pictures(fps, count):
            client.sendall(text)

    return talk


def say(*texts: bytes, then_wait_s: float = 0.0) -> Talk:
    """Always the same answer."""

    def talk(client: socket.socket, _: bytes) -> None:
        for text in texts:
            client.sendall(text)
        if then_wait_s:
            client.settimeout(then_wait_s)
            client.recv(1)

    return talk
