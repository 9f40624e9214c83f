"""A request and a response as the app sees them, whatever carries them."""

from collections.abc import Callable, Mapping

import msgspec

JSON = b"application/json"


class Request:
    """One whole request. `headers` are lower-case; `route` is filled in by the app, for the metrics."""

    __slots__ = ("body", "headers", "keep_alive", "method", "route", "started", "target")

    def __init__(self, method: bytes, target: bytes, headers: Mapping[bytes, bytes], body: bytes) -> None:
        self.method = method
        self.target = target
        self.headers = headers
        self.body = body
        self.keep_alive = True
        self.route = "unknown"
        self.started = 0.0


class Response:
    __slots__ = ("body", "content_type", "headers", "status")

    def __init__(self, status: int, body: bytes, content_type: bytes = JSON, headers: bytes = b"") -> None:
        """`headers` are further header lines, each with its line end."""
        self.status = status
        self.body = body
        self.content_type = content_type
        self.headers = headers


Reply = Callable[[Response], None]


def refusal(status: int, message: str, *, hint: str | None = None, headers: bytes = b"") -> Response:
    """An error as the Open Inference Protocol shapes it."""
    text = f"{message} ({hint})" if hint else message
    return Response(status, msgspec.json.encode({"error": text}), headers=headers)
