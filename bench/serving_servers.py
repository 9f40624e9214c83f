"""The servers of the comparison: how each is set up with the same model, started in its own environment, and asked for one row."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

START_SECONDS = 120
QUIET = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "UVICORN_ACCESS_LOG": "false",
}
FEATURES = 30

TRAIN = """
import sys, warnings
import joblib
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
warnings.simplefilter("ignore")
rows, labels = load_breast_cancer(return_X_y=True)
model = LogisticRegression(max_iter=200).fit(rows, labels)
joblib.dump(model, sys.argv[1] + "/model.joblib")
if sys.argv[2] == "mlflow":
    import mlflow.sklearn
    from mlflow.models import infer_signature
    mlflow.sklearn.save_model(model, sys.argv[1] + "/mlmodel", signature=infer_signature(rows, labels), serialization_format="cloudpickle", pip_requirements=[])
"""


class Server:
    """One server on a free port, pinned to core 0; `answer` is the label that it gives for a row."""

    def __init__(self, name: str, path: str, body: Mapping[str, Any]) -> None:
        self.name = name
        self.port = free_port()
        self.path = path
        self.body = json.dumps(body)

    def start(self, command: Sequence[str | Path], directory: Path, env: Mapping[str, str] = {}) -> "Server":
        self._log = (directory / f"{self.name.replace(' ', '-')}.log").open("wb")
        self.process = subprocess.Popen(
            ["taskset", "-c", "0", *map(str, command)],
            cwd=directory,
            env={**os.environ, **QUIET, **env},
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        return self

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}{self.path}"

    def ask(self) -> Any:
        request = urllib.request.Request(self.url, self.body.encode(), {"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=10) as response:
            return json.loads(response.read())

    def wait(self) -> "Server":
        """Until it answers the request that will be measured."""
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                self.ask()
                return self
            except (urllib.error.URLError, OSError) as error:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    log = Path(self._log.name).read_text(errors="replace")[-2000:]
                    raise RuntimeError(f"{self.name} did not start: {error}\n{log}") from error
                time.sleep(0.2)

    def stop(self) -> None:
        """It and what it started: each server has a session of its own."""
        try:
            os.killpg(self.process.pid, signal.SIGTERM)
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        except ProcessLookupError:
            pass
        self._log.close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def v2_body(row: Sequence[float], name: str) -> dict[str, Any]:
    return {"inputs": [{"name": name, "shape": [1, len(row)], "datatype": "FP64", "data": list(row)}]}


def ours(work: Path, row: Sequence[float], name: str = "shipway", *, max_rows: int = 256) -> Server:
    bundle = work / name.replace(" ", "-")
    bundle.mkdir()
    train(Path(sys.executable), bundle, "joblib")
    settings = {"name": "m", "version": "1", "model": "model.joblib", "batch": {"max_rows": max_rows}}
    (bundle / "serving.json").write_text(json.dumps(settings))
    server = Server(name, "/v2/models/m/infer", v2_body(row, "input-0"))
    return server.start([sys.executable, "-m", "shipway.serving", bundle, "--port", str(server.port)], bundle)


def mlflow(python: Path, work: Path, row: Sequence[float]) -> Server:
    """`mlflow models serve`, one worker for its one core."""
    home = work / "mlflow"
    home.mkdir()
    train(python, home, "mlflow")
    server = Server("mlflow", "/invocations", {"inputs": [list(row)]})
    command = [
        python.with_name("mlflow"),
        "models",
        "serve",
        "-m",
        home / "mlmodel",
        "--env-manager",
        "local",
        "--workers",
        "1",
    ]
    path = f"{python.parent}:{os.environ['PATH']}"
    return server.start([*command, "--host", "127.0.0.1", "--port", str(server.port)], home, {"PATH": path})


def mlserver(python: Path, work: Path, row: Sequence[float], *, batch: bool) -> Server:
    """In its own process (its parallel workers don't start under newer uvloops), alone or with batches of at most 64 in 0.5 ms."""
    name = "mlserver batched" if batch else "mlserver"
    home = work / name.replace(" ", "-")
    home.mkdir()
    train(python, home, "joblib")
    server = Server(name, "/v2/models/m/infer", v2_body(row, "predict"))
    ports = {"http_port": server.port, "grpc_port": free_port(), "metrics_port": free_port()}
    (home / "settings.json").write_text(
        json.dumps({"host": "127.0.0.1", "parallel_workers": 0, "debug": False, **ports})
    )
    model = {"name": "m", "implementation": "mlserver_sklearn.SKLearnModel", "parameters": {"uri": "./model.joblib"}}
    limits = {"max_batch_size": 64, "max_batch_time": 0.0005} if batch else {}
    (home / "model-settings.json").write_text(json.dumps({**model, **limits}))
    return server.start([python.with_name("mlserver"), "start", "."], home)


def train(python: Path, directory: Path, form: str) -> None:
    """Each environment fits and saves the model itself, so that none has to read another's pickle; the fit has no chance in it."""
    subprocess.run(
        [python, "-c", TRAIN, directory, form],
        check=True,
        timeout=300,
        env={**os.environ, **QUIET},
        capture_output=True,
    )
