"""
The driver is killed with SIGKILL at every named point, and started again: the run ends once, with one job for each key, the same result as
without a death, and no stray process.
"""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from shipway.app.opened import Opened
from shipway.specs.jobs import JobState
from shipway.specs.runs import RunState, StageState

POINTS = [
    "run:created",
    "job:chosen",
    "job:submitted",
    "job:recorded",
    "job:ended",
    "job:collected",
    "result:stored",
    "stage:saved",
    "job:removed",
]

pytestmark = pytest.mark.slow

FILE = """
project: chaos
tracking: off
stages:
  one: {run: "echo ran >> $LEDGER/one; sleep 0.1; cat in.txt in.txt > one.txt", inputs: [in.txt], outputs: [one.txt]}
  two: {run: "echo ran >> $LEDGER/two; mkdir two; cp one.txt two/a; cp one.txt two/b", inputs: [one.txt], outputs: [two]}
env: {LEDGER: LEDGER_PATH}
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    root.mkdir()
    (tmp_path / "ledger").mkdir()
    (root / "shipway.yaml").write_text(FILE.replace("LEDGER_PATH", str(tmp_path / "ledger")))
    (root / "in.txt").write_text("in\n")
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    return root


def drive(project: Path, *words: str, crash: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own."""
    code = "from shipway.cli.main import main; main()"
    env = {name: value for name, value in os.environ.items() if name != "SHIPWAY_CRASH_AT"}
    if crash is not None:
        env["SHIPWAY_CRASH_AT"] = crash
    argv = [sys.executable, "-c", code, *words, "-C", str(project)]
    return subprocess.run(argv, env=env, capture_output=True, text=True, timeout=60, check=False)


def strays(project: Path) -> list[str]:
    """Command lines of processes that work in the project."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            where = os.readlink(process / "cwd")
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if where.startswith(str(project)):
            found.append(command)
    return found


@pytest.mark.parametrize("restart", ["run", "resume"])
@pytest.mark.parametrize("point", POINTS)
def test_a_killed_driver_is_replaced_and_nothing_runs_twice(project: Path, point: str, restart: str) -> None:
    died = drive(project, "run", crash=point)
    assert died.returncode == -signal.SIGKILL, died.stderr
    again = drive(project, restart)
    assert again.returncode == 0, again.stderr
    opened = Opened(project)
    runs = opened.journal.list()
    assert [run.state for run in runs] == [RunState.SUCCEEDED]
    ledger = project.parent / "ledger"
    assert (ledger / "one").read_text() == "ran\n"
    assert (ledger / "two").read_text() == "ran\n"
    rows = {row.name: row for row in opened.journal.stages(runs[0].id)}
    assert {name: row.state.terminal for name, row in rows.items()} == {"one": True, "two": True}
    assert all(row.state in (StageState.SUCCEEDED, StageState.CACHED) for row in rows.values())
    jobs = opened.journal.jobs(run=runs[0].id)
    assert sorted(job.attempt for job in jobs) == [1, 1]
    assert {job.state for job in jobs} == {JobState.SUCCEEDED}
    assert (project / "two" / "b").read_text() == "in\nin\n"
    assert strays(project) == []
    assert list((project / ".shipway" / "jobs").glob("*")) == []


def test_a_driver_that_dies_again_and_again_still_ends_once(project: Path) -> None:
    for point in POINTS:
        assert drive(project, "run", crash=point).returncode in (-signal.SIGKILL, 0)
    assert drive(project, "run").returncode == 0
    assert (project.parent / "ledger" / "one").read_text() == "ran\n"
    assert (project.parent / "ledger" / "two").read_text() == "ran\n"


def test_two_drivers_at_once_share_the_jobs(project: Path) -> None:
    code = "from shipway.cli.main import main; main()"
    argv = [sys.executable, "-c", code, "run", "--json", "-C", str(project)]
    both = [subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    said = [process.communicate(timeout=60) for process in both]
    assert [process.returncode for process in both] == [0, 0, 0], said
    assert {json.loads(out)["run"]["state"] for out, _ in said} == {"succeeded"}
    assert (project.parent / "ledger" / "one").read_text() == "ran\n"
    assert (project.parent / "ledger" / "two").read_text() == "ran\n"
    assert strays(project) == []
