"""JSON over one kept-alive HTTP connection to an endpoint, with its errors as ours."""

import json
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import msgspec

from shipway.errors import NotFoundError, ShipwayError, UnavailableError, UsageError

if TYPE_CHECKING:
    import http.client

TIMEOUT_SECONDS = 60.0


class Reply(msgspec.Struct, frozen=True):
    """`revision` is the one that answered, where the endpoint says so."""

    body: Any
    revision: str | None


class Caller:
    """One connection, opened by the first call; it is opened anew once where the server closed it meanwhile."""

    def __init__(self, url: str, *, timeout: float = TIMEOUT_SECONDS) -> None:
        self.url = url.rstrip("/")
        self._timeout = timeout
        self._connection: http.client.HTTPConnection | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def get(self, path: str) -> Reply:
        return self._call("GET", path, None)

    def post(self, path: str, body: Mapping[str, Any]) -> Reply:
        return self._call("POST", path, json.dumps(body).encode())

    def _call(self, method: str, path: str, body: bytes | None) -> Reply:
        import http.client

        used = self._connection is not None
        try:
            return self._try(method, path, body)
        except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError) as error:
            # A server may close an idle connection at any time; only a fresh one that fails is a failure.
            if not used:
                raise self._unreachable(error) from error
        except (OSError, http.client.HTTPException) as error:
            raise self._unreachable(error) from error
        try:
            return self._try(method, path, body)
        except (OSError, http.client.HTTPException) as error:
            raise self._unreachable(error) from error

    def _try(self, method: str, path: str, body: bytes | None) -> Reply:
        if self._connection is None:
            self._connection = _connect(self.url, self._timeout)
        try:
            self._connection.request(method, _prefix(self.url) + path, body, {"Content-Type": "application/json"})
            response = self._connection.getresponse()
            content = response.read()
        except BaseException:
            self.close()
            raise
        if response.status != 200:
            raise _refusal(response.status, content, self.url + path)
        try:
            return Reply(json.loads(content), response.getheader("x-shipway-revision"))
        except ValueError as error:
            raise ShipwayError(f"{self.url}{path} answered something that is not JSON: {content[:200]!r}") from error

    def _unreachable(self, error: Exception) -> UnavailableError:
        self.close()
        return UnavailableError(f"{self.url} does not answer: {str(error) or type(error).__name__}")


def _connect(url: str, timeout: float) -> "http.client.HTTPConnection":
    import http.client
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(f"{url!r} is not the URL of an endpoint", hint="it looks like http://127.0.0.1:8080")
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    return kind(parts.hostname, parts.port, timeout=timeout)


def _prefix(url: str) -> str:
    from urllib.parse import urlsplit

    return urlsplit(url).path.rstrip("/")


def _refusal(status: int, content: bytes, where: str) -> ShipwayError:
    message = f"{where} answered {status}: {_said(content)}"
    if status == 404:
        return NotFoundError(message)
    if status < 500:
        return UsageError(message)
    return UnavailableError(message) if status in (502, 503, 504) else ShipwayError(message)


def _said(content: bytes) -> str:
    """The server's own words, out of the JSON that both protocols wrap them in."""
    try:
        said = json.loads(content)["error"]
    except (ValueError, KeyError, TypeError):
        said = content.decode(errors="replace")
    return str(said).strip()[:2000]
