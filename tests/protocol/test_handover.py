"""One revision takes over from another on a shared socket, and nobody notices."""

import http.client
import json
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

BODY = json.dumps({"instances": [[0.1, 0.2, 0.3, 0.4]]}).encode()
HEADERS = {"content-type": "application/json"}


@pytest.fixture
def public() -> Iterator[socket.socket]:
    """Held open by the test, as the endpoint's keeper holds it."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        yield listener


class Load:
    """Clients that ask the public address until told to stop, and note every revision and every failure."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.stop = threading.Event()
        self.revisions: list[str | None] = []
        self.failures: list[str] = []
        self._threads = [threading.Thread(target=loop) for loop in (self._kept, self._fresh, self._fresh, self._slow)]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        for thread in self._threads:
            thread.join(60)

    def saw(self, revision: str, times: int = 50) -> bool:
        return self.revisions[-300:].count(revision) >= times

    def _connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)

    def _ask(self, connection: http.client.HTTPConnection) -> bool:
        """Whether the connection may be used again."""
        try:
            connection.request("POST", "/v1/models/m:predict", BODY, HEADERS)
            response = connection.getresponse()
            body = response.read()
        except OSError as error:
            self.failures.append(repr(error))
            return False
        except http.client.HTTPException as error:
            self.failures.append(repr(error))
            return False
        if response.status != 200:
            self.failures.append(f"{response.status} {body!r}")
        self.revisions.append(response.headers["x-shipway-revision"])
        return response.headers["connection"] != "close"

    def _kept(self, pause: float = 0.0) -> None:
        connection = self._connect()
        while not self.stop.is_set():
            if not self._ask(connection):
                connection.close()
                connection = self._connect()
            time.sleep(pause)
        connection.close()

    def _slow(self) -> None:
        """Keeps its connection over pauses: it may still be told to close, but never find it reset."""
        self._kept(pause=0.3)

    def _fresh(self) -> None:
        while not self.stop.is_set():
            connection = self._connect()
            self._ask(connection)
            connection.close()


def until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.slow
def test_a_handover_under_load_fails_no_request(serve: Any, classifier_bundle: Path, public: socket.socket) -> None:
    fd, port = public.fileno(), public.getsockname()[1]
    old = serve(classifier_bundle, "--public-fd", str(fd), "--revision", "old", fds=[fd]).ready()
    old.signal(signal.SIGUSR1)
    old.wait_for("accepting on")
    with Load(port) as load:
        until(lambda: load.saw("old"))
        new = serve(classifier_bundle, "--public-fd", str(fd), "--revision", "new", fds=[fd]).ready()
        assert "new" not in load.revisions
        new.signal(signal.SIGUSR1)
        until(lambda: "new" in load.revisions)
        old.signal(signal.SIGTERM)
        assert old.end() == 0
        until(lambda: load.saw("new"))
    assert load.failures == []
    assert load.revisions[-1] == "new"


def test_a_revision_stays_off_the_public_socket_until_told(
    serve: Any, classifier_bundle: Path, public: socket.socket
) -> None:
    fd = public.fileno()
    served = serve(classifier_bundle, "--public-fd", str(fd), "--revision", "r", fds=[fd]).ready()
    assert served.ask("GET", "/v2/health/ready").headers["x-shipway-public"] is None
    served.signal(signal.SIGUSR1)
    served.wait_for("accepting on")
    answer = served.ask("GET", "/v2/health/ready")
    assert (answer.headers["x-shipway-public"], answer.headers["x-shipway-revision"]) == ("1", "r")


def test_the_signal_to_go_public_waits_for_the_model(serve: Any, script_bundle: Any, public: socket.socket) -> None:
    bundle = script_bundle(
        "import time\nclass Model:\n    def __init__(self, directory): time.sleep(1)\n    def predict(self, inputs): ..."
    )
    served = serve(bundle, "--public-fd", str(public.fileno()), fds=[public.fileno()])
    served.wait_for("listening on")
    served.signal(signal.SIGUSR1)
    assert served.ask("GET", "/v2/health/live").status == 200
    assert served.ask("GET", "/v2/health/ready").status == 503
    served.wait_for("accepting on")
    assert served.ask("GET", "/v2/health/ready").headers["x-shipway-public"] == "1"


def test_draining_finishes_what_is_in_flight_and_closes_kept_connections(serve: Any, script_bundle: Any) -> None:
    source = """
import time
class Model:
    inputs = [{"name": "x", "datatype": "FP64", "shape": [-1]}]
    outputs = [{"name": "y", "datatype": "FP64", "shape": [-1]}]
    def __init__(self, directory): ...
    def predict(self, inputs):
        time.sleep(inputs["x"][0])
        return inputs["x"]
"""
    served = serve(script_bundle(source)).ready()
    busy, idle = served.connect(), served.connect()
    idle.request("GET", "/v2/health/live")
    assert idle.getresponse().read()
    busy.request("POST", "/v1/models/m:predict", json.dumps({"instances": [0.7]}), HEADERS)
    until(lambda: b"in_flight 2" in served.ask("GET", "/metrics").body)
    served.signal(signal.SIGTERM)
    served.wait_for("draining")
    with pytest.raises(ConnectionRefusedError):
        served.ask("GET", "/v2/health/live")
    idle.request("GET", "/v2/health/live")
    response = idle.getresponse()
    assert (response.status, response.headers["connection"]) == (200, "close")
    answer = busy.getresponse()
    assert (answer.status, json.loads(answer.read())) == (200, {"predictions": [0.7]})
    assert served.end() == 0
    busy.close()
    idle.close()


def test_draining_ends_by_its_deadline_and_a_second_signal_ends_it_at_once(serve: Any, script_bundle: Any) -> None:
    source = "import time\nclass Model:\n    def __init__(self, directory): ...\n    def predict(self, inputs): time.sleep(600)"
    bundle = script_bundle(source)
    body = json.dumps({"instances": [[1.0]]})
    for args, signals in (
        (["--drain", "0.2"], [signal.SIGTERM]),
        (["--drain", "600"], [signal.SIGTERM, signal.SIGINT]),
    ):
        served = serve(bundle, *args).ready()
        connection = served.connect()
        connection.request("POST", "/v1/models/m:predict", body, HEADERS)
        until(lambda served=served: b"in_flight 2" in served.ask("GET", "/metrics").body)
        for number in signals:
            served.signal(number)
            served.wait_for("draining")
        assert served.end() == 0
        connection.close()
