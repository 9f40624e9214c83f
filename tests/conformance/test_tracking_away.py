"""What the MLflow adapters do when the server is away, refuses us, or answers nonsense: scripted answers over real HTTP."""

import base64
import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from shipway.errors import AuthError, UnavailableError
from shipway.specs.runs import RunState
from shipway.specs.trees import digest_of
from shipway.testing.tracking_conformance import sample
from shipway.tracking.mlflow import MlflowTracker
from shipway.tracking.mlflow_registry import MlflowRegistry

pytest.importorskip("mlflow", reason="needs shipway[mlflow]")


class Scripted(ThreadingHTTPServer):
    """Gives every request the same answer and remembers the requests."""

    daemon_threads = True
    request_queue_size = 20

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.status, self.body, self.headers = 500, b"", {}
        self.seen: list[tuple[str, str]] = []
        self.released = threading.Event()
        self.hangs = False

    def handle_error(self, request: object, client_address: object) -> None:
        """Silent: a client that gave up is what some tests want."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Answer(BaseHTTPRequestHandler):
    server: Scripted

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.seen.append((self.path, self.headers.get("Authorization", "")))
        if self.server.hangs:
            self.server.released.wait(30)
        self.send_response(self.server.status)
        for name, value in {"Content-Length": str(len(self.server.body)), **self.server.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(self.server.body)

    do_POST = do_GET

    def log_message(self, *args: Any) -> None:
        """Silent."""


@pytest.fixture
def server() -> Iterator[Scripted]:
    with Scripted() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.released.set()
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def _no_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in MlflowTracker.secrets:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


def every_verb(url: str, place: Path) -> Iterator[Any]:
    tracker, registry = MlflowTracker(url, project="p"), MlflowRegistry(url, project="p")
    (place / "model").write_bytes(b"m")
    yield lambda: tracker.start("r1", name="r1", tags={})
    yield lambda: tracker.log("0" * 32, params={"a": "1"})
    yield lambda: tracker.log("0" * 32, tags={"a": "1"})
    yield lambda: tracker.save("0" * 32, place / "model", "model")
    yield lambda: tracker.finish("0" * 32, RunState.FAILED)
    yield lambda: registry.versions("m")
    yield lambda: registry.resolve("m", "champion")
    yield lambda: registry.promote("m", "1", "champion")
    yield lambda: registry.register(sample("m", digest_of(b"m")), place / "model")


def test_a_refused_connection_is_unavailable(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    for verb in every_verb(f"http://127.0.0.1:{port}", tmp_path):
        with pytest.raises(UnavailableError) as caught:
            verb()
        assert caught.value.transient
        assert f"127.0.0.1:{port}" in caught.value.message


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_server_in_trouble_is_unavailable_and_asked_at_most_twice(
    server: Scripted, tmp_path: Path, status: int
) -> None:
    server.status, server.body = status, b"<html>trouble</html>"
    for verb in every_verb(server.url, tmp_path):
        server.seen.clear()
        with pytest.raises(UnavailableError):
            verb()
        assert 1 <= len(server.seen) <= 2


def test_a_server_that_says_later_is_not_waited_for(server: Scripted) -> None:
    server.status, server.headers = 429, {"Retry-After": "3600"}
    with pytest.raises(UnavailableError):
        MlflowTracker(server.url, project="p").start("r1", name="r1", tags={})


def test_a_server_that_hangs_is_unavailable(server: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    server.hangs = True
    with pytest.raises(UnavailableError):
        MlflowTracker(server.url, project="p").start("r1", name="r1", tags={})


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (401, b"You are not authenticated."),
        (403, b"Permission denied"),
        (403, json.dumps({"error_code": "PERMISSION_DENIED", "message": "no"}).encode()),
        (401, json.dumps({"error_code": "UNAUTHENTICATED", "message": "no"}).encode()),
    ],
)
def test_a_refusal_is_an_auth_error_that_says_how_to_give_credentials(
    server: Scripted, tmp_path: Path, status: int, body: bytes
) -> None:
    server.status, server.body = status, body
    for verb in every_verb(server.url, tmp_path):
        with pytest.raises(AuthError) as caught:
            verb()
        assert not caught.value.transient
        assert "MLFLOW_TRACKING_USERNAME" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("status", "body"),
    [(404, b"<html>no such page</html>"), (200, b"<html>log in first</html>"), (400, b"<html>bad request</html>")],
)
def test_an_answer_that_is_not_mlflows_never_counts_as_a_refusal_of_the_data(
    server: Scripted, status: int, body: bytes
) -> None:
    """Else a wrong address would throw away all that waits to be sent."""
    server.status, server.body = status, body
    with pytest.raises(UnavailableError):
        MlflowTracker(server.url, project="p").log("0" * 32, params={"a": "1"})


def test_credentials_come_from_the_environment_and_are_never_shown(
    server: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ann")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "s3cret")
    server.status, server.body = 401, b"no"
    tracker = MlflowTracker(server.url, project="p")
    with pytest.raises(AuthError) as caught:
        tracker.start("r1", name="r1", tags={})
    assert server.seen[0][1] == "Basic " + base64.b64encode(b"ann:s3cret").decode()
    assert "s3cret" not in f"{caught.value!r} {caught.value.hint} {tracker.environment(None)}"
    assert set(MlflowTracker.secrets) >= {"MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"}
