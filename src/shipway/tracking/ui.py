"""
MLflow's own UI on the project's tracking data, as a server in a process group of its own.

The UI is not in `mlflow-skinny`: the full `mlflow` is found beside this interpreter, or where SHIPWAY_MLFLOW says.
"""

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from shipway.errors import UnavailableError, UnsupportedError, UsageError
from shipway.tracking.mlflow_client import QUIET, Server
from shipway.tracking.uris import OFF, tracking_uri

EXECUTABLE = "SHIPWAY_MLFLOW"
STARTUP = 120.0
"""Seconds for the server to answer; 6 on a quiet machine, up to 39 with a new database at a load of 14 on two cores."""
GRACE = 5.0

# By default MLflow starts 15 processes with 1.6 GB; this is two with 0.4 GB.
LEAN = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}


class Ui:
    """A UI at `url`; `process` is None where the project's tracking server shows its own."""

    def __init__(self, url: str, process: "subprocess.Popen[bytes] | None" = None) -> None:
        self.url = url
        self.process = process

    def wait(self) -> None:
        """Until the server ends by itself; KeyboardInterrupt comes through."""
        if self.process is not None:
            self.process.wait()

    def stop(self) -> None:
        """End the server and what it started; silently nothing if it has ended."""
        if self.process is None:
            return
        for sign in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, sign)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(GRACE)
                break
        with contextlib.suppress(ProcessLookupError):  # what it started may be slower to go than itself
            os.killpg(self.process.pid, signal.SIGKILL)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def serve_ui(uri: str | None, *, home: Path, host: str = "127.0.0.1", port: int = 5000) -> Ui:
    """
    Start the UI for the `tracking` of `shipway.yaml` and return when it answers; port 0 takes a free one.

    Raises UsageError (tracking is off, the port is taken), UnsupportedError (no full MLflow), UnavailableError (it did not come up).
    """
    if uri == OFF:
        raise UsageError(
            "tracking is off, so there is nothing to show", hint="take `tracking: off` out of shipway.yaml"
        )
    backend = tracking_uri(uri, home)
    if backend.startswith(("http://", "https://")):
        return Ui(backend)
    command = find_mlflow()
    port = _free_port(host, port)
    with contextlib.suppress(UnavailableError), Server(backend).client():
        pass  # makes a new database under our lock; where MLflow is not in this interpreter, the server makes it
    log = home / "mlflow-ui.log"
    ui = Ui(f"http://{_shown(host)}:{port}", _start(to_server([*command], backend, home, (host, port)), log))
    try:
        _wait_until_up(ui, (host, port), log)
    except BaseException:
        ui.stop()
        raise
    return ui


def find_mlflow() -> list[str]:
    """The argv that starts the full MLflow. Raises UnsupportedError."""
    named = os.environ.get(EXECUTABLE)
    if named:
        if not os.access(named, os.X_OK):
            raise UnsupportedError(f"{EXECUTABLE} names {named}, which cannot be executed")
        return [named]
    from importlib.util import find_spec

    spec = find_spec("mlflow")
    places = [] if spec is None else spec.submodule_search_locations or []
    if any(Path(place, "server", "js", "build").is_dir() for place in places):
        return [sys.executable, "-m", "mlflow"]
    raise UnsupportedError(
        "MLflow's UI is not installed here: mlflow-skinny comes without it",
        hint=f'pip install "mlflow>=3.17,<4", or set {EXECUTABLE} to the mlflow of another environment',
    )


def to_server(command: list[str], backend: str, home: Path, address: tuple[str, int]) -> list[str]:
    """The argv of the server: one worker, files where this project keeps them."""
    host, port = address
    place = ["--backend-store-uri", backend, "--artifacts-destination", str(home.absolute() / "mlartifacts")]
    return [*command, "server", *place, "--host", host, "--port", str(port), "--workers", "1"]


def _start(argv: list[str], log: Path) -> "subprocess.Popen[bytes]":
    log.parent.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, **QUIET, **LEAN}
    with open(log, "wb", opener=lambda path, flags: os.open(path, flags, 0o600)) as output:
        return subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=log.parent,
            env=environment,
            start_new_session=True,
        )


def _wait_until_up(ui: Ui, address: tuple[str, int], log: Path) -> None:
    deadline = time.monotonic() + STARTUP
    while not _answers(address):
        ended = ui.process is not None and ui.process.poll() is not None
        if ended or time.monotonic() > deadline:
            tail = " | ".join(log.read_text(errors="replace").strip().splitlines()[-3:])
            what = "ended before it answered" if ended else f"did not answer within {STARTUP:.0f} s"
            raise UnavailableError(f"MLflow's UI {what}: {tail[-600:]}", hint=f"the whole log is in {log}")
        time.sleep(0.1)


def _answers(address: tuple[str, int]) -> bool:
    host, port = address
    connection = http.client.HTTPConnection("127.0.0.1" if host == "0.0.0.0" else host, port, timeout=5)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _free_port(host: str, port: int) -> int:
    """The port itself if it can be bound, or a free one for 0. Raises UsageError."""
    try:
        with socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            return int(probe.getsockname()[1])
    except OSError as error:
        raise UsageError(
            f"{host}:{port} cannot be used: {error.strerror}", hint="choose another with --port"
        ) from error


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host
