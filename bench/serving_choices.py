"""
What each choice of ADR 0005 is worth: the same model and request, with one thing changed at a time, taking turns on one core.

Counts the server's own CPU time for each request as well, which holds on a machine that has other work.

Run by itself: `python bench/serving_choices.py`.
"""

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import timeit
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import serving
import serving_servers as servers

VARIANTS = ("as built", "uvicorn", "asyncio loop", "worker thread", "fixed wait of 0.5 ms", "one request per call")


def serve(variant: str, bundle: Path, port: int) -> None:
    """In a process of its own."""
    from shipway.serving import __main__, batching

    if variant == "uvicorn":
        _serve_uvicorn(bundle, port)
        return
    if variant == "asyncio loop":
        __main__._loop_factory = lambda: None
    if variant == "worker thread":
        batching.INLINE_SECONDS = 0.0
    __main__.main([str(bundle), "--port", str(port)])


def _serve_uvicorn(bundle: Path, port: int) -> None:
    """The same app behind uvicorn's own HTTP/1.1 (httptools, uvloop), as raw ASGI."""
    import uvicorn

    from shipway.serving import loading, settings
    from shipway.serving.app import App
    from shipway.serving.messages import Request, Response
    from shipway.serving.metrics import Metrics

    app = App(settings.read(bundle), Metrics())

    async def asgi(scope: dict[str, Any], receive: Callable[[], Any], send: Callable[[Any], Any]) -> None:
        if scope["type"] == "lifespan":
            await receive()
            model = loading.load(bundle / "model.joblib")
            app.attach(model)
            app.open(model, None)
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        body = b""
        while True:
            message = await receive()
            body += message["body"]
            if not message.get("more_body"):
                break
        answered: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        app.handle(
            Request(scope["method"].encode(), scope["raw_path"], dict(scope["headers"]), body), answered.set_result
        )
        response = await answered
        length = str(len(response.body)).encode()
        headers = [(b"content-type", response.content_type), (b"content-length", length)]
        await send({"type": "http.response.start", "status": response.status, "headers": headers})
        await send({"type": "http.response.body", "body": response.body})

    uvicorn.run(
        asgi, host="127.0.0.1", port=port, loop="uvloop", http="httptools", access_log=False, log_level="warning"
    )


def compare(work: Path, seconds: float) -> None:
    row = serving._row()
    bundles = {variant: work / variant.replace(" ", "-") for variant in VARIANTS}
    running = []
    try:
        for variant, bundle in bundles.items():
            bundle.mkdir()
            servers.train(Path(sys.executable), bundle, "joblib")
            batch = {"fixed wait of 0.5 ms": {"max_wait_ms": 0.5}, "one request per call": {"max_rows": 1}}.get(
                variant, {}
            )
            (bundle / "serving.json").write_text(
                json.dumps({"name": "m", "version": "1", "model": "model.joblib", "batch": batch})
            )
            server = servers.Server(variant, "/v2/models/m/infer", servers.v2_body(row, "input-0"))
            running.append(
                server.start([sys.executable, __file__, "--serve", variant, bundle, str(server.port)], bundle)
            )
        for server in running:
            server.wait()
        for connections in (32, 1):
            _print_turns(running, connections, seconds, work)
    finally:
        for server in running:
            server.stop()


def _print_turns(running: list[servers.Server], connections: int, seconds: float, work: Path) -> None:
    taken: dict[str, list[tuple[float, float, float]]] = {server.name: [] for server in running}
    for number in range(serving.ROUNDS + 1):
        for server in running:
            before = _cpu_seconds(server.process.pid)
            measured = serving._wrk(server, connections, seconds, work)
            cost = (_cpu_seconds(server.process.pid) - before) / (measured.rate * seconds)
            if number:  # the first turn is to warm up
                taken[server.name].append((measured.rate, measured.p99, cost * 1e6))
    for name, runs in taken.items():
        rate, p99, cost = (statistics.median(values) for values in zip(*runs, strict=True))
        print(
            f"{connections:3} connections  {name:22} {rate:8.0f} req/s  p99 {p99:6.2f} ms  CPU {cost:6.1f} us",
            flush=True,
        )


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def compare_json(row: list[float]) -> None:
    """Microseconds for one request body in and one answer out, on the CPU that this runs on."""
    from shipway.serving import v2

    body = json.dumps(servers.v2_body(row, "input-0")).encode()
    answer = {
        "model_name": "m",
        "model_version": "1",
        "outputs": [{"name": "p", "datatype": "FP64", "shape": [1, 2], "data": [0.25, 0.75]}],
    }
    for name, work in (
        ("json, nothing checked", lambda: (json.loads(body), json.dumps(answer))),
        ("msgspec, checked, to numpy", lambda: (v2.read(body), v2._encode(answer))),
    ):
        best = min(timeit.repeat(work, number=2000, repeat=7)) / 2000
        print(f"{name:28} {best * 1e6:6.1f} us")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--serve", nargs=3, metavar=("VARIANT", "BUNDLE", "PORT"))
    parser.add_argument("--seconds", type=float, default=3.0)
    args = parser.parse_args()
    if args.serve:
        variant, bundle, port = args.serve
        serve(variant, Path(bundle), int(port))
        return
    compare_json(serving._row())
    with tempfile.TemporaryDirectory() as work:
        compare(Path(work), args.seconds)


if __name__ == "__main__":
    main()
