"""
Runs that are told to stop, by Ctrl-C, by a signal, from another process or by a terminal that closes: what this run started ends, the journal
knows it, and nothing that others need is touched.
"""

import os
import pty
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from shipway.app.opened import Opened
from shipway.specs.jobs import JobState
from shipway.specs.runs import RunState, StageState

pytestmark = pytest.mark.slow

FILE = """
project: chaos
tracking: off
stages:
  quick: {run: "echo quick > quick.txt", inputs: [in.txt], outputs: [quick.txt]}
  long:
    run: "STUBBORN; echo ran >> $LEDGER/ran; sleep 60 & while [ ! -e $LEDGER/go ]; do sleep 0.05; done; kill $!; cp quick.txt long.txt"
    inputs: [quick.txt]
    outputs: [long.txt]
  later: {run: "cp long.txt later.txt", inputs: [long.txt], outputs: [later.txt]}
env: {LEDGER: LEDGER_PATH}
"""

Write = Callable[..., Path]


@pytest.fixture
def write(shipway: Any, make_project: Write, tmp_path: Path) -> Iterator[Write]:
    """Returns a function that writes a project whose stage `long` runs until there is a file `go` in the ledger."""

    def write(stubborn: str = "true") -> Path:
        (tmp_path / "ledger").mkdir()
        file = FILE.replace("LEDGER_PATH", str(tmp_path / "ledger")).replace("STUBBORN", stubborn)
        return make_project(file, {"in.txt": "in\n"})

    yield write
    shipway.end(tmp_path / "project")


def until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.01)


def long_runs(project: Path) -> None:
    until((project.parent / "ledger" / "ran").exists, "the long stage to begin")


def nothing_runs(shipway: Any, project: Path) -> None:
    """What ends a job may look for what is left of it for a moment longer than the job lives."""
    until(lambda: shipway.strays(project) == {}, "the last process to end")


def states(project: Path) -> dict[str, StageState]:
    journal = Opened(project).journal
    (run,) = journal.list()
    return {row.name: row.state for row in journal.stages(run.id)}


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_job_with_all_that_it_started(sign: signal.Signals, shipway: Any, write: Write) -> None:
    project = write()
    driver = shipway.start(project, "run")
    long_runs(project)
    driver.send_signal(sign)
    _, err = driver.communicate(timeout=30)
    assert driver.returncode == 130, err
    assert "Traceback" not in err
    nothing_runs(shipway, project)
    journal = Opened(project).journal
    (run,) = journal.list()
    assert run.state is RunState.CANCELLED
    assert states(project) == {
        "quick": StageState.SUCCEEDED,
        "long": StageState.CANCELLED,
        "later": StageState.SKIPPED,
    }
    assert [job.state for job in journal.jobs(run=run.id)] == [JobState.SUCCEEDED, JobState.CANCELLED]
    assert list((project / ".shipway" / "jobs").glob("*")) == []


def test_a_run_after_a_cancelled_one_computes_only_what_was_cancelled(shipway: Any, write: Write) -> None:
    project = write()
    driver = shipway.start(project, "run")
    long_runs(project)
    driver.send_signal(signal.SIGINT)
    driver.communicate(timeout=30)
    (project.parent / "ledger" / "go").touch()
    again = shipway(project, "run")
    assert again.returncode == 0, again.stderr
    assert "quick: cached" in again.stderr
    assert (project / "later.txt").read_text() == "quick\n"


def test_a_second_interrupt_does_not_wait_for_the_job_to_end(shipway: Any, write: Write) -> None:
    project = write(stubborn="trap '' TERM")
    driver = shipway.start(project, "run")
    long_runs(project)
    driver.send_signal(signal.SIGINT)
    until(lambda: list((project / ".shipway" / "jobs").glob("*/verdict")), "the job to be told")
    assert driver.poll() is None
    driver.send_signal(signal.SIGINT)
    _, err = driver.communicate(timeout=30)
    assert driver.returncode == 130, err
    assert "Traceback" not in err
    opened = Opened(project)
    (run,) = opened.journal.list()
    assert run.state is RunState.CANCELLED
    # Had it waited, it would know how the job ended.
    assert not next(job for job in opened.journal.jobs(run=run.id) if job.stage == "long").state.terminal
    nothing_runs(shipway, project)
    (project.parent / "ledger" / "go").touch()
    again = shipway(project, "run")
    assert again.returncode == 0, again.stderr
    assert list((project / ".shipway" / "jobs").glob("*")) == []


def test_another_process_cancels_a_run(shipway: Any, write: Write) -> None:
    project = write()
    driver = shipway.start(project, "run")
    long_runs(project)
    said = shipway(project, "cancel")
    assert said.returncode == 0, said.stderr
    _, err = driver.communicate(timeout=30)
    assert driver.returncode == 130, err
    nothing_runs(shipway, project)
    assert states(project)["long"] is StageState.CANCELLED
    again = shipway(project, "cancel")
    assert (again.returncode, "cancelled" in again.stdout) == (0, True)


def test_reaping_ends_what_a_killed_driver_left(shipway: Any, write: Write) -> None:
    project = write()
    driver = shipway.start(project, "run")
    long_runs(project)
    alive = shipway(project, "runs", "--reap")
    assert "driver was gone" not in alive.stderr
    driver.kill()
    driver.communicate(timeout=30)
    assert shipway.strays(project)
    assert "left alone" in shipway(project, "runs").stdout
    done = shipway(project, "runs", "--reap")
    assert (done.returncode, "driver was gone" in done.stderr) == (0, True)
    nothing_runs(shipway, project)
    (run,) = Opened(project).journal.list()
    assert run.state is RunState.CANCELLED


def test_a_terminal_that_closes_does_not_end_the_job(shipway: Any, write: Write) -> None:
    project = write()
    master, slave = pty.openpty()
    driver = subprocess.Popen(
        ["setsid", "--ctty", "--wait", *shipway.argv, "run"],
        cwd=project,
        env=shipway.env,
        stdin=slave,
        stdout=slave,
        stderr=slave,
    )
    os.close(slave)
    long_runs(project)
    os.close(master)
    driver.wait(timeout=30)
    assert shipway.strays(project)
    (project.parent / "ledger" / "go").touch()
    again = shipway(project, "run")
    assert again.returncode == 0, again.stderr
    assert (project.parent / "ledger" / "ran").read_text() == "ran\n"
    (run,) = Opened(project).journal.list()
    assert run.state is RunState.SUCCEEDED


@pytest.mark.slow
def test_an_interrupt_while_the_champion_is_judged_ends_that_job(
    shipway: Any, make_harbour: Callable[..., Path], tmp_path: Path
) -> None:
    harbour = make_harbour(tmp_path / "harbour")
    slow = "import time\nwhile slope == 1.0 and len(rows) == 5:\n    time.sleep(0.05)\n"
    with (harbour / "evaluate.py").open("a") as file:
        file.write(slow)
    assert shipway(harbour, "ship").returncode == 0
    with (harbour / "data" / "x.csv").open("a") as file:
        file.write("5\n")
    driver = shipway.start(harbour, "ship", "--set", "train.slope=2")
    journal = Opened(harbour).journal
    until(
        lambda: any(job.handle and job.stage == "evaluate@champion" for job in journal.jobs(run=newest(journal))), "it"
    )
    driver.send_signal(signal.SIGINT)
    _, err = driver.communicate(timeout=30)
    assert driver.returncode == 130, err
    assert [job for job in journal.jobs(run=newest(journal)) if not job.state.terminal] == []
    assert journal.list()[0].state is RunState.CANCELLED
    assert shipway(harbour, "endpoints", "--remove", "here").returncode == 0
    nothing_runs(shipway, harbour)


@pytest.mark.slow
def test_an_interrupt_while_a_revision_starts_takes_it_away_and_the_old_one_serves(
    shipway: Any, make_harbour: Callable[..., Path], tmp_path: Path
) -> None:
    harbour = make_harbour(tmp_path / "harbour")
    assert shipway(harbour, "ship").returncode == 0
    with (harbour / "predict.py").open("a") as file:
        file.write("\n\nimport time\n\ntime.sleep(30)\n")
    opened = Opened(harbour)
    endpoint = opened.endpoint(opened.project.endpoints[0])
    driver = shipway.start(harbour, "ship", "--set", "train.slope=2")
    until(lambda: len(endpoint.rollout().revisions) == 2, "the second revision to start")
    driver.send_signal(signal.SIGINT)
    _, err = driver.communicate(timeout=30)
    assert driver.returncode == 130, err
    assert opened.journal.list()[0].state is RunState.CANCELLED
    until(lambda: [rev.version for rev in endpoint.rollout().revisions] == ["1"], "the second revision to go")
    serving = endpoint.rollout().serving
    assert serving is not None
    endpoint.remove()
    assert shipway.strays(harbour) == {}


def newest(journal: Any) -> str:
    return str(journal.list()[0].id)
