"""
A model server of the standard library alone, which speaks the contract of `python -m shipway.serving` with endpoints.

The model is a JSON file, `{"add": 1}`: a prediction is the sum of the instance plus that. `"mode"` makes it misbehave: "exit" and "hang"
while loading, "refuse" at each prediction; an instance that holds the number of `"poison"` ends the process; `"seconds"` is how long a
prediction takes, `"lag"` for how many it goes on accepting after SIGTERM.
"""

import argparse
import contextlib
import json
import os
import selectors
import signal
import socket
import sys
import threading
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, ClassVar

IDLE_GRACE_SECONDS = 1.0


class StandIn:
    """What a model answers, without any transport."""

    def __init__(self, bundle: Path) -> None:
        self.settings = json.loads((bundle / "serving.json").read_bytes())
        self.model = json.loads((bundle / self.settings["model"]).read_bytes())

    def fault(self, bundle: Path) -> str | None:
        """Why it cannot become ready, if so."""
        if self.model.get("mode") == "exit":
            return "the model does not load"
        if (bundle / "probe.json").exists():
            path = f"/v1/models/{self.settings['name']}:predict"
            status, answer = self.answer("POST", path, (bundle / "probe.json").read_bytes())
            return None if status == 200 else f"the probe failed: {answer['error']}"
        return None

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, Mapping[str, Any]]:
        name = self.settings["name"]
        if path == "/v2/health/ready":
            return 200, {"ready": True}
        if path == f"/v2/models/{name}":
            tensor = {"name": "x", "datatype": "FP64", "shape": [-1, 2]}
            return 200, {
                "name": name,
                "versions": [self.settings["version"]],
                "platform": "stand-in",
                "inputs": [tensor],
                "outputs": [],
            }
        try:
            if method == "POST" and path == f"/v1/models/{name}:predict":
                return 200, {"predictions": [self._predict(row) for row in json.loads(body)["instances"]]}
            if method == "POST" and path == f"/v2/models/{name}/infer":
                return 200, self._infer(json.loads(body)["inputs"][0])
        except (ValueError, KeyError, TypeError, IndexError) as error:
            return 400, {"error": f"cannot read the request: {error!r}"}
        return 404, {"error": f"there is no {path}"}

    def _infer(self, tensor: Mapping[str, Any]) -> Mapping[str, Any]:
        width = tensor["shape"][1]
        rows = [tensor["data"][at : at + width] for at in range(0, len(tensor["data"]), width)]
        data = [float(self._predict(row)) for row in rows]
        return {
            "model_name": self.settings["name"],
            "outputs": [{"name": "y", "datatype": "FP64", "shape": [len(rows)], "data": data}],
        }

    def _predict(self, row: Any) -> float:
        if self.model.get("mode") == "refuse":
            raise ValueError("this model refuses everything")
        if self.model.get("poison") in row:
            os._exit(3)
        time.sleep(self.model.get("seconds", 0.0))
        total: float = sum(row) + self.model["add"]
        return total


class Handler(BaseHTTPRequestHandler):
    """One connection, kept alive until the client or a draining server ends it."""

    protocol_version = "HTTP/1.1"
    stand_in: ClassVar[StandIn]
    headers_of_ours: ClassVar[dict[str, str]] = {}
    draining: ClassVar[bool] = False
    busy: ClassVar[set[int]] = set()

    def do_GET(self) -> None:
        self._do()

    def do_POST(self) -> None:
        self._do()

    def _do(self) -> None:
        self.busy.add(id(self))
        length = int(self.headers.get("Content-Length") or 0)
        status, answer = self.stand_in.answer(self.command, self.path, self.rfile.read(length))
        body = json.dumps(answer).encode()
        self.send_response(status)
        for name, value in {
            **self.headers_of_ours,
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
        }.items():
            self.send_header(name, value)
        if self.draining:
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()
        self.wfile.write(body)
        self.busy.discard(id(self))

    def log_message(self, format: str, *args: Any) -> None:
        pass


def main() -> None:
    """Runs until SIGTERM and the end of draining."""
    parser = argparse.ArgumentParser()
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--fd", type=int)
    parser.add_argument("--public-fd", type=int)
    parser.add_argument("--revision")
    parser.add_argument("--drain", type=float)
    args = parser.parse_args()
    told: set[int] = set()
    for number in (signal.SIGUSR1, signal.SIGTERM):
        signal.signal(number, lambda number, _: told.add(number))
    Handler.headers_of_ours = {"x-shipway-revision": args.revision}
    Handler.stand_in = _load(args.bundle)
    print(f"serving {args.bundle.name}", flush=True)
    _serve(args, told)


def _load(bundle: Path) -> StandIn:
    stand_in = StandIn(bundle)
    while stand_in.model.get("mode") == "hang":
        time.sleep(0.05)
    if (fault := stand_in.fault(bundle)) is not None:
        sys.exit(fault)
    return stand_in


def _serve(args: argparse.Namespace, told: set[int]) -> None:
    private, public = (socket.socket(fileno=fd) for fd in (args.fd, args.public_fd))
    private.setblocking(False)
    threads: list[threading.Thread] = []
    with selectors.DefaultSelector() as selector:
        selector.register(private, selectors.EVENT_READ)
        last = float("inf")
        while time.monotonic() < last:
            if signal.SIGTERM in told:
                told.discard(signal.SIGTERM)
                last = time.monotonic() + Handler.stand_in.model.get("lag", 0.0)
            for key, _ in selector.select(0.02):
                _accept(key.fileobj, threads)
            if signal.SIGUSR1 in told:
                told.discard(signal.SIGUSR1)
                selector.register(public, selectors.EVENT_READ)
                Handler.headers_of_ours = {**Handler.headers_of_ours, "x-shipway-public": "1"}
    Handler.draining = True
    private.close()
    public.close()
    began = time.monotonic()
    while any(thread.is_alive() for thread in threads) and time.monotonic() < began + args.drain:
        if not Handler.busy and time.monotonic() > began + IDLE_GRACE_SECONDS:
            break
        time.sleep(0.01)
    os._exit(0)


def _accept(listener: Any, threads: list[threading.Thread]) -> None:
    with contextlib.suppress(BlockingIOError):
        connection, address = listener.accept()
        connection.setblocking(True)
        thread = threading.Thread(target=_talk, args=(connection, address), daemon=True)
        thread.start()
        threads[:] = [*(thread for thread in threads if thread.is_alive()), thread]


def _talk(connection: socket.socket, address: Any) -> None:
    with connection, contextlib.suppress(OSError):
        Handler(connection, address, None)  # type: ignore[arg-type]  # it never asks for its server


if __name__ == "__main__":
    main()
