"""One HTTP GET that never blocks: how the keeper asks a revision whether it is ready."""

import contextlib
import socket
from typing import NamedTuple


class Answer(NamedTuple):
    """Header names are in lower case."""

    status: int
    headers: dict[str, str]


class Probe:
    """Call `advance` from time to time until it gives an answer. A listening socket that nobody reads yet is waited for, not an error."""

    def __init__(self, address: tuple[str, int], path: str) -> None:
        self._sock = socket.socket()
        self._sock.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            self._sock.connect(address)
        self._unsent = f"GET {path} HTTP/1.1\r\nHost: {address[0]}:{address[1]}\r\nConnection: close\r\n\r\n".encode()
        self._received = b""

    def advance(self) -> Answer | None:
        """Raises OSError where the connection broke or what came is not HTTP."""
        try:
            while self._unsent:
                self._unsent = self._unsent[self._sock.send(self._unsent) :]
            while b"\r\n\r\n" not in self._received:
                piece = self._sock.recv(4096)
                if not piece:
                    raise ConnectionError("closed before it answered")
                self._received += piece
        except (BlockingIOError, InterruptedError):
            return None
        return _parse(self._received)

    def close(self) -> None:
        self._sock.close()


def _parse(received: bytes) -> Answer:
    first, *lines = received.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
    parts = first.split(" ", 2)
    if len(parts) < 2 or not parts[1].isdigit():
        raise ConnectionError(f"answered {first[:80]!r}")
    pairs = (line.partition(":") for line in lines)
    return Answer(int(parts[1]), {name.strip().lower(): value.strip() for name, _, value in pairs})
