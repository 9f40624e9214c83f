"""
How a keeper is spoken to: a Unix socket in the endpoint's directory, one line of JSON there and one back.

The directory is its owner's alone (0700), which is what guards the socket. Secrets travel here and nowhere else.
"""

import contextlib
import json
import os
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

SOCKET = "control.sock"
LOCK = "keeper.lock"
LIMIT_BYTES = 8 * 1024 * 1024
TIMEOUT_SECONDS = 30.0


def listen() -> socket.socket:
    """Bind in the current directory, since a socket's path may have no more than 108 bytes. Only a keeper that has the lock may do so."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(SOCKET)
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(SOCKET)
    sock.listen(16)
    sock.setblocking(False)
    return sock


def ask(home: Path, request: Mapping[str, Any]) -> dict[str, Any]:
    """Send one request and return the answer. Raises ConnectionError or FileNotFoundError where no keeper listens, TimeoutError where it hangs."""
    with socket.socket(socket.AF_UNIX) as sock, _short(home) as path:
        sock.settimeout(TIMEOUT_SECONDS)
        sock.connect(path)
        sock.sendall(json.dumps(request).encode() + b"\n")
        received = bytearray()
        while not received.endswith(b"\n"):
            piece = sock.recv(65536)
            if not piece:
                raise ConnectionError("the keeper closed the connection before it answered")
            received += piece
    answer: dict[str, Any] = json.loads(received)
    return answer


@contextlib.contextmanager
def _short(home: Path) -> Iterator[str]:
    """A path to the socket that is short however deep the directory lies."""
    path = str(home / SOCKET)
    if len(os.fsencode(path)) < 100 or not Path("/proc/self/fd").exists():
        yield path
        return
    directory = os.open(home, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{directory}/{SOCKET}"
    finally:
        os.close(directory)


class Conversation:
    """The keeper's side of one connection: gathers the line without blocking."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self._received = bytearray()

    def hear(self) -> dict[str, Any] | None:
        """Return the request once it is whole. Raises OSError or ValueError where there is none to come."""
        try:
            piece = self.connection.recv(1024 * 1024)
        except BlockingIOError:
            return None
        self._received += piece
        if not piece or len(self._received) > LIMIT_BYTES:
            raise ConnectionError("no request")
        if not self._received.endswith(b"\n"):
            return None
        request = json.loads(self._received)
        if not isinstance(request, dict):
            raise ValueError("a request is a JSON object")
        return request

    def say(self, answer: Mapping[str, Any]) -> None:
        self.connection.settimeout(2.0)
        self.connection.sendall(json.dumps(answer).encode() + b"\n")
