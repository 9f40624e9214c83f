"""
One row of 30 floats to a logistic regression: requests per second and p99 against `mlflow models serve` and MLServer.

Every server has core 0 to itself while it is measured, wrk has core 1, and they take turns. Each is at its best settings: no access logs, one
process for its one core, MLServer with and without batches (the better number of the two counts). Ours gives labels and probabilities,
the peers labels only. Run by itself: `python bench/serving.py --mlflow PYTHON --mlserver PYTHON`.
"""

import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parent))

import serving_servers as servers

CONNECTIONS = 32
ROUNDS = 3
QUIET_ROUNDS = 11
TOLERANCE = 0.10
"""
At low load p99 is the machine's noise as much as the server's, so each round with batches is compared with the one without that follows it,
and the median of those ratios counts. It may be off by this much, or by as much as half of the rounds are off it.
"""

WRK = """
wrk.method = "POST"
wrk.headers["content-type"] = "application/json"
wrk.body = %s
"""


class Measured(NamedTuple):
    """Of one run of wrk; `rate` in requests per second, `p99` in milliseconds."""

    rate: float
    p99: float


def measure(mlflow_python: Path, mlserver_python: Path, work: Path, seconds: float = 5.0) -> list[dict[str, Any]]:
    """Return one line for each claim; `work` is an empty directory."""
    row = _row()
    running = []
    try:
        running.append(servers.ours(work, row))
        running.append(servers.mlflow(mlflow_python, work, row))
        running.append(servers.mlserver(mlserver_python, work, row, batch=False))
        running.append(servers.mlserver(mlserver_python, work, row, batch=True))
        running.append(servers.ours(work, row, "shipway one by one", max_rows=1))
        for server in running:
            server.wait()
        _check_answers(running)
        *busy, single = running
        loaded = _take_turns(busy, CONNECTIONS, ROUNDS, seconds, work)
        quiet = _take_turns([running[0], single], 1, QUIET_ROUNDS, 1.0, work)
    finally:
        for server in running:
            server.stop()
    return _lines(loaded, quiet)


def _row() -> list[float]:
    from sklearn.datasets import load_breast_cancer

    return [float(value) for value in load_breast_cancer().data[0]]


def _check_answers(running: Sequence[servers.Server]) -> None:
    """All say the same label, so that nobody is quick by being wrong."""
    for server in running:
        answer = server.ask()
        label = answer["predictions"][0] if "predictions" in answer else answer["outputs"][0]["data"][0]
        if label != 0:
            raise RuntimeError(f"{server.name} answered {label!r}, not 0")


def _take_turns(
    running: Sequence[servers.Server], connections: int, rounds: int, seconds: float, work: Path
) -> dict[str, list[Measured]]:
    """Rounds in which each server has its turn, so that a busy moment of the machine doesn't hit only one."""
    taken: dict[str, list[Measured]] = {server.name: [] for server in running}
    for server in running:
        _wrk(server, connections, 1.0, work)  # warm
    for _ in range(rounds):
        for server in running:
            taken[server.name].append(_wrk(server, connections, seconds, work))
    return taken


def _median(runs: Sequence[Measured]) -> Measured:
    return Measured(statistics.median(run.rate for run in runs), statistics.median(run.p99 for run in runs))


def _wrk(server: servers.Server, connections: int, seconds: float, work: Path) -> Measured:
    script = work / f"{server.port}.lua"
    script.write_text(WRK % json.dumps(server.body))
    options = ["-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--latency", "-s", script]
    command = ["taskset", "-c", "1", "wrk", *options, server.url]
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=seconds + 60, check=True)
    if re.search("Non-2xx|Socket errors", done.stdout):
        raise RuntimeError(f"{server.name} failed requests:\n{done.stdout}")
    rate = re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)
    p99 = re.search(r"99%\s+([\d.]+)(us|ms|s)", done.stdout)
    assert rate is not None
    assert p99 is not None
    return Measured(float(rate[1]), float(p99[1]) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[p99[2]])


def _lines(loaded: dict[str, list[Measured]], quiet: dict[str, list[Measured]]) -> list[dict[str, Any]]:
    us, mlflow, alone, batched = (
        _median(loaded[name]) for name in ("shipway", "mlflow", "mlserver", "mlserver batched")
    )
    best = Measured(max(alone.rate, batched.rate), min(alone.p99, batched.p99))
    together, single = _median(quiet["shipway"]), _median(quiet["shipway one by one"])
    ratios = [other.p99 / own.p99 for own, other in zip(quiet["shipway"], quiet["shipway one by one"], strict=True)]
    ratio = statistics.median(ratios)
    tolerance = max(TOLERANCE, statistics.median(abs(one - ratio) for one in ratios))
    at = f"{CONNECTIONS} connections"
    return [
        _line(f"predictions per second at {at}, against mlflow models serve", us.rate, mlflow.rate, "req/s", 10.0),
        _line(f"predictions per second at {at}, against MLServer", us.rate, best.rate, "req/s", 6.0),
        _line(f"p99 at {at}, against mlflow models serve", us.p99, mlflow.p99, "ms", 1.0),
        _line(f"p99 at {at}, against MLServer", us.p99, best.p99, "ms", 1.0),
        _line(
            f"p99 at 1 connection with batches, against without (± {tolerance:.0%})",
            together.p99,
            single.p99,
            "ms",
            1 / (1 + tolerance),
        )
        | {"ratio": round(ratio, 2), "holds": ratio >= 1 / (1 + tolerance)},
    ]


def _line(name: str, ours: float, peer: float, unit: str, goal: float) -> dict[str, Any]:
    """`ratio` is how many times better we are; it holds if that is at least the goal."""
    ratio = ours / peer if unit == "req/s" else peer / ours
    return {
        "name": name,
        "ours": round(ours, 3),
        "peer": round(peer, 3),
        "unit": unit,
        "goal": round(goal, 2),
        "ratio": round(ratio, 2),
        "holds": ratio >= goal,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--mlflow", type=Path, required=True, help="Python of an environment with mlflow and scikit-learn"
    )
    parser.add_argument(
        "--mlserver", type=Path, required=True, help="Python of an environment with mlserver and mlserver-sklearn"
    )
    parser.add_argument("--seconds", type=float, default=5.0)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        for line in measure(args.mlflow, args.mlserver, Path(work), args.seconds):
            print(json.dumps(line))


if __name__ == "__main__":
    main()
