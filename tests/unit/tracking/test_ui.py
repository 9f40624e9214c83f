"""Starting and stopping the UI, with a little server in MLflow's place."""

import os
import socket
import sys
import time
from pathlib import Path

import pytest

from shipway.errors import UnavailableError, UnsupportedError, UsageError
from shipway.tracking import ui as module
from shipway.tracking.ui import find_mlflow, serve_ui, to_server

SERVER = """#!{python}
import http.server, os, subprocess, sys
arguments = sys.argv[1:]
print("arguments", arguments, os.environ["MLFLOW_DISABLE_TELEMETRY"], os.environ["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"], flush=True)
child = subprocess.Popen(["sleep", "60"])
print("child", child.pid, flush=True)
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
port = int(arguments[arguments.index("--port") + 1])
http.server.HTTPServer(("127.0.0.1", port), Page).serve_forever()
"""


@pytest.fixture
def mlflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An executable that answers as MLflow's server does, with a child of its own."""
    script = tmp_path / "mlflow"
    script.write_text(SERVER.format(python=sys.executable))
    script.chmod(0o755)
    monkeypatch.setenv("SHIPWAY_MLFLOW", str(script))
    # The database is none of these tests' business.
    monkeypatch.setattr(module, "Server", Unopened)
    return script


class Unopened:
    def __init__(self, uri: str) -> None:
        self.uri = uri

    def client(self) -> object:
        raise UnavailableError("not here")


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


def test_the_ui_answers_and_ends_with_all_its_processes(mlflow: Path, tmp_path: Path) -> None:
    with serve_ui(None, home=tmp_path / ".shipway", port=0) as ui:
        assert ui.process is not None
        words = (tmp_path / ".shipway" / "mlflow-ui.log").read_text().split("child ")
        child = int(words[1].split()[0])
        assert alive(ui.process.pid)
        assert alive(child)
        assert "true false" in words[0]
    deadline = time.monotonic() + 10
    while alive(child):  # it has been killed, and goes when the kernel comes to it
        assert time.monotonic() < deadline
        time.sleep(0.01)
    ui.stop()


def test_a_server_that_dies_says_why(mlflow: Path, tmp_path: Path) -> None:
    mlflow.write_text("#!/bin/sh\necho schema is out of date >&2\nexit 1\n")
    with pytest.raises(UnavailableError, match="schema is out of date") as caught:
        serve_ui(None, home=tmp_path / ".shipway", port=0)
    assert "mlflow-ui.log" in str(caught.value.hint)


def test_a_server_that_never_answers_is_ended_at_the_deadline(
    mlflow: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mlflow.write_text("#!/bin/sh\necho $$\nexec sleep 60\n")
    monkeypatch.setattr(module, "STARTUP", 0.2)
    with pytest.raises(UnavailableError, match="did not answer"):
        serve_ui(None, home=tmp_path / ".shipway", port=0)
    assert not alive(int((tmp_path / ".shipway" / "mlflow-ui.log").read_text()))


def test_a_taken_port_is_refused_before_anything_starts(mlflow: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(UsageError, match=str(taken.getsockname()[1])):
        serve_ui(None, home=tmp_path / ".shipway", port=taken.getsockname()[1])
    assert not (tmp_path / ".shipway").exists()


def test_a_tracking_server_shows_its_own_ui(tmp_path: Path) -> None:
    with serve_ui("https://mlflow.example.edu/base", home=tmp_path) as ui:
        assert (ui.url, ui.process) == ("https://mlflow.example.edu/base", None)
        ui.wait()


def test_with_tracking_off_there_is_nothing_to_show(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="off"):
        serve_ui("off", home=tmp_path)


def test_without_the_full_mlflow_one_learns_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SHIPWAY_MLFLOW", raising=False)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UnsupportedError) as caught:
        find_mlflow()
    assert "pip install" in str(caught.value.hint)


def test_a_named_mlflow_must_be_executable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SHIPWAY_MLFLOW", str(tmp_path / "nothing"))
    with pytest.raises(UnsupportedError, match="SHIPWAY_MLFLOW"):
        find_mlflow()


def test_the_server_is_lean_and_keeps_files_in_the_project() -> None:
    argv = to_server(["mlflow"], "sqlite:////p/mlflow.db", Path("/p/.shipway"), ("127.0.0.1", 5000))
    assert " ".join(argv) == (
        "mlflow server --backend-store-uri sqlite:////p/mlflow.db --artifacts-destination /p/.shipway/mlartifacts"
        " --host 127.0.0.1 --port 5000 --workers 1"
    )
