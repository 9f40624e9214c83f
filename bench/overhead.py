"""
What Shipway itself costs, against `dvc repro`: four stages that copy a file, the first time and when nothing changed; help; and MLflow.

Run by itself: `python bench/overhead.py --dvc PATH`.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from timing import Line, in_turn, line, quiet_environment, timed

ROUNDS = 7
SHIPWAY = str(Path(sys.executable).with_name("shipway"))
LONG_JOB = 4

STAGES = [("in.txt", "a.txt"), ("a.txt", "b.txt"), ("b.txt", "c.txt"), ("c.txt", "d.txt")]


def measure(dvc: Path, work: Path) -> list[Line]:
    """All lines; `dvc` is its executable, `work` an empty directory."""
    env = quiet_environment(work)
    warm = Pair(work / "warm", str(dvc), env)  # compiles both sides' modules
    in_turn(warm.run, warm.repro, 0)
    first = []
    for turn in range(ROUNDS):
        pair = Pair(work / f"first-{turn}", str(dvc), env)
        first.append(in_turn(pair.run, pair.repro, turn))
    again = [in_turn(warm.run, warm.repro, turn) for turn in range(ROUNDS)]
    helps = [in_turn(warm.our_help, warm.their_help, turn) for turn in range(ROUNDS)]
    return [
        line("four no-op stages, first run", first, goal=2.0),
        line("four no-op stages, all from the store", again, goal=5.0),
        line("--help", helps, goal=2.0),
        *mlflow_lines(work, env),
    ]


class Pair:
    """The same four stages for both, each in a repository of its own."""

    def __init__(self, work: Path, dvc: str, env: Mapping[str, str]) -> None:
        self._dvc, self._env = dvc, env
        self._ours, self._theirs = work / "ours", work / "theirs"
        for side in (self._ours, self._theirs):
            side.mkdir(parents=True)
            subprocess.run(["git", "init", "-q", str(side)], check=True)
            (side / "in.txt").write_text("in\n")
        write_project(self._ours, tracking="off")
        stages = {out: {"cmd": f"cp {read} {out}", "deps": [read], "outs": [out]} for read, out in STAGES}
        names = {out: out.removesuffix(".txt") for _, out in STAGES}
        text = json.dumps({"stages": {names[out]: stage for out, stage in stages.items()}})
        (self._theirs / "dvc.yaml").write_text(text)  # JSON is YAML
        timed([dvc, "init", "--quiet"], self._theirs, env)

    def run(self) -> float:
        return timed([SHIPWAY, "run"], self._ours, self._env)

    def repro(self) -> float:
        return timed([self._dvc, "repro", "--quiet"], self._theirs, self._env)

    def our_help(self) -> float:
        return timed([SHIPWAY, "--help"], self._ours, self._env)

    def their_help(self) -> float:
        return timed([self._dvc, "--help"], self._theirs, self._env)


def write_project(root: Path, *, tracking: str, pause: int = 0) -> None:
    wait = f"sleep {pause}; " if pause else ""
    stages = {
        out.removesuffix(".txt"): {"run": f"{wait}cp {read} {out}", "inputs": [read], "outputs": [out]}
        for read, out in STAGES[: 1 if pause else None]
    }
    project = {"project": "overhead", "stages": stages}
    if tracking:
        project["tracking"] = tracking
    (root / "shipway.yaml").write_text(json.dumps(project))


# What MLflow adds


def mlflow_lines(work: Path, env: Mapping[str, str]) -> list[Line]:
    """With MLflow on, a run of short jobs may add no more than the client's import takes, and one of long jobs nothing."""
    short = [with_and_without(work / f"short-{turn}", env, pause=0, turn=turn) for turn in range(5)]
    long = [with_and_without(work / f"long-{turn}", env, pause=LONG_JOB, turn=turn) for turn in range(3)]
    imports = [timed([sys.executable, "-c", IMPORT], work, env) for _ in range(5)]
    added = statistics.median(on - off for on, off in short)
    added_long = statistics.median(on - off for on, off in long)
    return [
        bound("seconds that MLflow adds to short jobs, against its client's import", added, statistics.median(imports)),
        bound(f"seconds that MLflow adds to a job of {LONG_JOB} s, against a tenth of it", added_long, LONG_JOB / 10),
    ]


IMPORT = """
import mlflow, mlflow.tracking, mlflow.store.tracking.sqlalchemy_store
"""


def with_and_without(root: Path, env: Mapping[str, str], *, pause: int, turn: int) -> tuple[float, float]:
    """Seconds of the same run with MLflow on SQLite, whose database is there already, and with tracking off."""

    def once(name: str, tracking: str) -> float:
        side = root / name
        side.mkdir(parents=True)
        subprocess.run(["git", "init", "-q", str(side)], check=True)
        (side / "in.txt").write_text("first\n")
        write_project(side, tracking=tracking, pause=pause)
        if not tracking:
            timed([SHIPWAY, "run"], side, env)  # makes the database
            (side / "in.txt").write_text("second\n")
        taken = timed([SHIPWAY, "run"], side, env)
        shutil.rmtree(side)
        return taken

    return in_turn(lambda: once("on", ""), lambda: once("off", "off"), turn)


def bound(name: str, ours: float, limit: float) -> Line:
    """A line that holds if ours is at most the limit; the ratio is limit by ours."""
    return {
        "name": name,
        "ours": round(ours, 3),
        "peer": round(limit, 3),
        "unit": "s",
        "goal": 1.0,
        "ratio": round(limit / max(ours, 0.001), 2),
        "holds": ours <= limit,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dvc", type=Path, required=True, help="the dvc executable")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        for result in measure(options.dvc.absolute(), Path(work)):
            print(json.dumps(result))


if __name__ == "__main__":
    main()
