"""Answers 503 at the public addresses while no revision serves, so that callers hear so at once rather than hang in the queue."""

import json
import selectors
import socket
import time
from collections import deque
from functools import partial

LINGER_SECONDS = 0.5
AT_ONCE = 100


class ClosedSign:
    """Hung at listening sockets; their readiness comes through the keeper's selector."""

    def __init__(self, selector: selectors.BaseSelector) -> None:
        self._selector = selector
        self._listeners: set[socket.socket] = set()
        # A caller may still be sending when it is answered, and closing then could cost it the answer.
        self._lingering: deque[tuple[float, socket.socket]] = deque()

    @property
    def busy(self) -> bool:
        return bool(self._lingering)

    def hang(self, listeners: set[socket.socket], why: str) -> None:
        """At these sockets and no others; none while someone serves."""
        for listener in self._listeners - listeners:
            self._selector.unregister(listener)
        for listener in listeners - self._listeners:
            self._selector.register(listener, selectors.EVENT_READ, partial(self._turn_away, listener, why))
        self._listeners = listeners

    def take_down(self, listener: socket.socket) -> None:
        self.hang(self._listeners - {listener}, "")

    def advance(self, now: float) -> None:
        """Close what has lingered long enough."""
        while self._lingering and (self._lingering[0][0] < now or len(self._lingering) > AT_ONCE):
            self._lingering.popleft()[1].close()

    def _turn_away(self, listener: socket.socket, why: str) -> None:
        body = json.dumps({"error": why}).encode()
        head = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close"
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        self._lingering.append((time.monotonic() + LINGER_SECONDS, connection))
        try:
            connection.setblocking(False)
            connection.send(f"HTTP/1.1 503 Service Unavailable\r\n{head}\r\n\r\n".encode() + body)
            connection.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # the caller is gone already
