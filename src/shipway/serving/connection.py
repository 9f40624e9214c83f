"""
One HTTP/1.1 connection: bytes to requests by httptools (llhttp), responses to bytes, in order.

Rule: a client that plays by the rules never sees a reset. After the last response only our half is closed, and what still comes in is
read and dropped until the client closes or the linger is over.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from http import HTTPStatus
from time import monotonic
from typing import Any, cast

import httptools
import msgspec

from shipway.serving.messages import Reply, Request, Response, refusal
from shipway.serving.metrics import Metrics

MOST_HEAD = 64 * 1024
"""Bytes of request line and headers."""
MOST_QUEUED = 8
"""Pipelined requests that wait before we stop reading."""
LINGER_SECONDS = 2.0
HEAD_SECONDS = 30.0
STALL_SECONDS = 30.0

STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}


class Link(msgspec.Struct):
    """What all connections of a server share and may see change."""

    handle: Callable[[Request, Reply], None]
    metrics: Metrics
    most_body: int
    headers: bytes = b""
    """Header lines of every response."""
    draining: bool = False
    connections: set[Any] = msgspec.field(default_factory=set)


class Connection(asyncio.Protocol):
    """`touched` is when bytes last moved; `closing` is set once no further request will be read."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._parser = httptools.HttpRequestParser(self)
        self._queue: deque[Request | Response] = deque()
        self._current: Request | None = None
        self._pumping = False
        self._blocked = False
        self._paused = False
        self._over = False
        self._in_head = self._in_body = False
        self._head_size = 0
        self.closing = False
        self.touched = monotonic()
        self.lingering: float | None = None

    # What the server asks

    @property
    def idle(self) -> bool:
        """Between requests, with nothing of the next one read."""
        return self._current is None and not self._queue and not self._in_head and not self._in_body

    def late(self, now: float) -> bool:
        """Whether the client takes too long over a request that it has begun; a body may take long while it moves."""
        return (self._in_head and now - self._began > HEAD_SECONDS) or (
            self._in_body and now - self.touched > STALL_SECONDS
        )

    def stuck(self, now: float) -> bool:
        """Whether the client doesn't take what we write."""
        return self._blocked and now - self.touched > STALL_SECONDS

    def close(self) -> None:
        """Close our half and let the client finish; if it has, close."""
        self.closing = True
        if self._over:
            self._transport.close()
        elif self.lingering is None and not self._transport.is_closing():
            self.lingering = monotonic() + LINGER_SECONDS
            self._transport.write_eof()

    def _end(self) -> None:
        """Read no further, and close once all that was read is answered."""
        self.closing = True
        if self.idle:
            self.close()

    def abort(self) -> None:
        self._transport.abort()

    def refuse(self, status: int, message: str) -> None:
        """Answer, after those before it, what could not be read, and read no further."""
        if not self.closing:
            self.closing = True
            self._in_head = self._in_body = False
            self._queue.append(refusal(status, message))
            self._pump()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._link.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.closing = True
        self._queue.clear()
        self._link.connections.discard(self)

    def data_received(self, data: bytes) -> None:
        self.touched = monotonic()
        if self.closing:
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as error:
            self._decline_upgrade(data[error.args[0] :])
        except httptools.HttpParserError as error:
            self.refuse(400, f"malformed HTTP: {error}")
        if self._in_head:
            self._head_size += len(data)
            if self._head_size > MOST_HEAD:
                self.refuse(431, f"request line and headers are longer than {MOST_HEAD} bytes")

    def _decline_upgrade(self, rest: bytes) -> None:
        """
        Read the request again without the offer to speak another protocol, which we may ignore.

        Java's own client offers HTTP/2 with each first request, and llhttp stops before the body of such a one.
        """
        if self._parser.get_method() == b"CONNECT":
            self.refuse(405, "this is no proxy")
            return
        close = b"close" in self._headers.pop(b"connection", b"").lower()
        self._headers.pop(b"upgrade", None)
        lines = b"".join(b"%b: %b\r\n" % line for line in self._headers.items())
        head = b"%b %b HTTP/1.1\r\n%b%b\r\n" % (
            self._parser.get_method(),
            self._target,
            lines,
            b"connection: close\r\n" if close else b"",
        )
        self._parser = httptools.HttpRequestParser(self)
        self.data_received(head + rest)

    def eof_received(self) -> bool:
        """A client may close its half and still wait for answers."""
        self._over = True
        self._in_head = self._in_body = False
        self._end()
        return self.lingering is None and not self._transport.is_closing()

    def pause_writing(self) -> None:
        self._blocked = True

    def resume_writing(self) -> None:
        self._blocked = False
        self._pump()

    # httptools

    def on_message_begin(self) -> None:
        self._in_head = True
        self._head_size = 0
        self._began = self.touched
        self._target = b""
        self._headers: dict[bytes, bytes] = {}
        self._chunks: list[bytes] = []
        self._size = 0

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        self._in_head, self._in_body = False, True
        if self.closing:
            return
        if int(self._headers.get(b"content-length", b"0")) > self._link.most_body:
            self._refuse_body()
        elif self._headers.get(b"expect", b"").lower() == b"100-continue" and self._current is None and not self._queue:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        self._size += len(body)
        if self._size <= self._link.most_body:
            self._chunks.append(body)
        elif not self.closing:
            self._refuse_body()

    def on_message_complete(self) -> None:
        self._in_head = self._in_body = False
        if self.closing or self._parser.should_upgrade():
            return
        body = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        request = Request(self._parser.get_method(), self._target, self._headers, body)
        modern = self._parser.get_http_version() == "1.1"  # HTTP/1.0 would need a header of its own to stay open
        request.keep_alive = modern and self._parser.should_keep_alive()
        if modern and b"host" not in self._headers:
            self.refuse(400, "the Host header is missing")
            return
        self.closing = not request.keep_alive
        self._queue.append(request)
        self._pump()

    def _refuse_body(self) -> None:
        self.refuse(413, f"the body is longer than {self._link.most_body} bytes")

    # Requests through the app, one at a time and in order

    def _pump(self) -> None:
        if self._pumping:
            return
        self._pumping = True
        while self._queue and self._current is None and not self._blocked:
            item = self._queue.popleft()
            if isinstance(item, Response):
                self._link.metrics.answered("unknown", item.status, 0.0)
                self._write(item, keep_alive=False)
            else:
                self._current = item
                item.started = monotonic()
                self._link.metrics.in_flight += 1
                self._link.handle(item, self._reply)
        self._pumping = False
        self._throttle()

    def _reply(self, response: Response) -> None:
        request = self._current
        assert request is not None
        self._current = None
        self._link.metrics.in_flight -= 1
        self._link.metrics.answered(request.route, response.status, monotonic() - request.started)
        self._write(response, keep_alive=request.keep_alive and not self._link.draining, head=request.method == b"HEAD")
        if self.closing:
            self._end()
        self._pump()

    def _write(self, response: Response, *, keep_alive: bool, head: bool = False) -> None:
        if self._transport.is_closing():
            return
        self.touched = monotonic()
        parts = (
            STATUS_LINES[response.status],
            b"content-type: %b\r\ncontent-length: %d\r\n" % (response.content_type, len(response.body)),
            self._link.headers,
            response.headers,
            b"\r\n" if keep_alive else b"connection: close\r\n\r\n",
            b"" if head else response.body,
        )
        self._transport.write(b"".join(parts))
        if not keep_alive:
            self._queue.clear()
            self.close()

    def _throttle(self) -> None:
        full = len(self._queue) >= MOST_QUEUED
        if full != self._paused and not self._transport.is_closing():
            self._paused = full
            if full:
                self._transport.pause_reading()
            else:
                self._transport.resume_reading()
