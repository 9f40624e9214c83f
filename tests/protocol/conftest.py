"""Real serving processes on free ports of this machine, and small models for them to serve."""

import http.client
import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

WAIT_SECONDS = 60


class Answer:
    """One response; `json` is its body."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Served:
    """A serving process; `port` is its own address."""

    def __init__(self, bundle: Path, args: Sequence[str], fds: Sequence[int]) -> None:
        command = [sys.executable, "-m", "shipway.serving", str(bundle), "--port", "0", *args]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, pass_fds=tuple(fds), text=True)
        self.lines: list[str] = []
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._changed:
                self.lines.append(line)
                self._changed.notify_all()
        with self._changed:
            self.lines.append("(end)")
            self._changed.notify_all()

    def wait_for(self, pattern: str) -> str:
        """Wait until the process logs it; return the first group or all of it."""

        def found() -> re.Match[str] | None:
            return re.search(pattern, "".join(self.lines))

        with self._changed:
            assert self._changed.wait_for(lambda: found() or self.lines[-1:] == ["(end)"], WAIT_SECONDS), self.lines
        match = found()
        assert match, "".join(self.lines)
        return match[match.lastindex or 0]

    @property
    def port(self) -> int:
        return int(self.wait_for(r"listening on http://127\.0\.0\.1:(\d+)"))

    def ready(self) -> "Served":
        self.wait_for("ready: ")
        return self

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT_SECONDS)

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """Send JSON, or bytes as they are, over a connection of its own; header names have _ for -."""
        connection = self.connect()
        try:
            data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
            given = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(
                method, path, data, {"content-type": "application/json", **given} if data is not None else given
            )
            return Answer(connection.getresponse())
        finally:
            connection.close()

    def infer(self, body: Any, name: str = "m") -> Answer:
        return self.ask("POST", f"/v2/models/{name}/infer", body)

    def raw(self, data: bytes) -> bytes:
        """Send bytes over a socket of its own; return all that comes back until the server closes."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=WAIT_SECONDS) as client:
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: client.recv(65536), b""))

    def signal(self, number: int) -> None:
        os.kill(self.process.pid, number)

    def end(self) -> int:
        """Wait for the end; return the exit code."""
        code = self.process.wait(WAIT_SECONDS)
        self._reader.join(WAIT_SECONDS)
        return code

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.end()
        assert self.process.stderr is not None
        self.process.stderr.close()


Serve = Callable[..., Served]


def write_bundle(directory: Path, model: str, **settings: Any) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "serving.json").write_text(json.dumps({"name": "m", "version": "3", "model": model, **settings}))
    return directory


def iris_like() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    rows = random.normal(size=(90, 4)) + np.repeat(np.arange(3), 30)[:, None] * 2
    return rows, np.repeat(["ant", "bee", "cat"], 30)


@pytest.fixture
def serve() -> Iterator[Serve]:
    started: list[Served] = []

    def start(bundle: Path, *args: str, fds: Sequence[int] = ()) -> Served:
        started.append(Served(bundle, args, fds))
        return started[-1]

    yield start
    for served in started:
        served.stop()


@pytest.fixture(scope="session")
def classifier_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import joblib
    from sklearn.linear_model import LogisticRegression

    bundle = write_bundle(tmp_path_factory.mktemp("bundle"), "model.joblib", max_body_mib=1)
    joblib.dump(LogisticRegression().fit(*iris_like()), bundle / "model.joblib")
    (bundle / "probe.json").write_text(json.dumps({"instances": iris_like()[0][:1].tolist()}))
    return bundle


@pytest.fixture(scope="session")
def classifier(classifier_bundle: Path) -> Iterator[Served]:
    """One server for all tests that leave it as it was."""
    served = Served(classifier_bundle, ["--revision", "v3-abc"], ()).ready()
    yield served
    served.stop()


@pytest.fixture
def script_bundle(tmp_path: Path) -> Callable[..., Path]:
    def make(source: str, **settings: Any) -> Path:
        bundle = write_bundle(tmp_path / "script", "model", **settings)
        (bundle / "model").mkdir()
        (bundle / "model" / "predict.py").write_text(source)
        return bundle

    return make


@pytest.fixture
def rows() -> np.ndarray:
    return iris_like()[0]
