"""Runs whose driver died: taken up, cancelled or swept around, they leave nothing behind and mix nothing up."""

import json
import subprocess
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from shipway.app import running, upkeep
from shipway.app.opened import Opened
from shipway.errors import UnavailableError, UsageError
from shipway.pipeline import session
from shipway.specs.jobs import JobState
from shipway.specs.runs import Event, RunState, StageState
from shipway.tracking.memory import MemoryTracker, TrackedRun

MakeProject = Callable[..., Path]

FILE = """
project: left
tracking: off
stages:
  one: {run: "COMMAND", inputs: [in.txt], outputs: [one.txt]}
  two: {run: "cp one.txt two.txt", inputs: [one.txt, late], outputs: [two.txt]}
"""
FILES = {"in.txt": "in\n", "late/a": "late\n"}


@pytest.mark.parametrize("point", ["job:chosen", "job:submitted", "job:recorded"])
def test_reaping_ends_jobs_and_rows_however_little_was_written_down(
    shipway: Any, make_project: MakeProject, point: str
) -> None:
    root = make_project(FILE.replace("COMMAND", "sleep 30"), FILES)
    assert shipway(root, "run", SHIPWAY_CRASH_AT=point).returncode == -9
    assert shipway(root, "runs", "--reap").returncode == 0
    journal = Opened(root).journal
    (run,) = journal.list()
    assert run.state is RunState.CANCELLED
    assert [job.state for job in journal.jobs()] == [JobState.CANCELLED]
    assert [row.state for row in journal.stages(run.id)] == [StageState.CANCELLED, StageState.SKIPPED]
    assert list((root / ".shipway" / "jobs").glob("*")) == []


def test_garbage_collection_spares_what_a_run_still_has_to_read(make_project: MakeProject, tmp_path: Path) -> None:
    wait = f"while [ ! -e {tmp_path}/go ]; do sleep 0.01; done; cp in.txt one.txt"
    root = make_project(FILE.replace("COMMAND", wait), FILES)
    began = threading.Event()

    def collect() -> None:
        began.wait(20)
        (root / "late" / "a").write_text("edited\n")
        upkeep.store_gc(Opened(root), dry_run=False, grace=timedelta(0))
        (tmp_path / "go").touch()

    beside = threading.Thread(target=collect)
    beside.start()
    report = running.run(Opened(root), running.Request(), lambda event: began.set() if event.kind == "job" else None)
    beside.join()
    assert report.run.state is RunState.SUCCEEDED


def test_a_run_that_ended_meanwhile_is_not_resumed(
    shipway: Any, make_project: MakeProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_project(FILE.replace("COMMAND", "cp in.txt one.txt"), FILES)
    assert shipway(root, "run", SHIPWAY_CRASH_AT="job:chosen").returncode == -9
    opened = Opened(root)
    (run,) = opened.journal.list()
    monkeypatch.setenv("PATH", shipway.env["PATH"])  # another interpreter would be another plan
    real = session.take

    ended: list[int] = []

    def once(*words: Any, **named: Any) -> Any:
        if not ended:
            ended.append(1)
            running.cancel(Opened(root), run.id)
        return real(*words, **named)

    monkeypatch.setattr(running, "take", once)
    with pytest.raises(UsageError, match="has ended"):
        running.resume(opened, run.id, lambda event: None)
    assert opened.journal.holder(f"run/{run.id}") is None


TRACKED = """
project: told
stages:
  NAME: {run: "echo '{\\"accuracy\\": 1}' > m.json", inputs: [in.txt], metrics: [m.json]}
  after: {run: "cp m.json out.json", inputs: [m.json, other], outputs: [out.json]}
"""


def tell(root: Path, runs: dict[str, TrackedRun]) -> running.Report:
    opened = Opened(root)
    opened.__dict__["tracking"] = (MemoryTracker(runs), None)
    return running.run(opened, running.Request(), lambda event: None)


def test_the_tracker_is_told_of_a_result_that_a_stage_with_another_name_made(make_project: MakeProject) -> None:
    root = make_project(TRACKED.replace("NAME", "old"), {"in.txt": "", "other": "1"})
    tell(root, {})
    (root / "shipway.yaml").write_text(TRACKED.replace("NAME", "new"))
    (root / "other").write_text("2")
    runs: dict[str, TrackedRun] = {}
    tell(root, runs)
    assert [[metric.name for metric in run.metrics] for run in runs.values()] == [["accuracy"]]


def test_the_tracker_hears_the_end_of_a_run_that_was_taken_up_when_all_was_made(
    make_project: MakeProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_project(TRACKED.replace("NAME", "old"), {"in.txt": "", "other": "1"})

    class Killed(BaseException):
        """As SIGKILL is: nobody writes the end down."""

    def die(*words: Any) -> None:
        raise Killed

    runs: dict[str, TrackedRun] = {}
    with monkeypatch.context() as patched:
        patched.setattr(running, "place", die)
        patched.setattr(running, "_write_end", lambda session, error: None)
        with pytest.raises(Killed):
            tell(root, runs)
    assert tell(root, runs).run.state is RunState.SUCCEEDED
    assert [run.state for run in runs.values()] == [RunState.SUCCEEDED]


# Shipping


def commit(root: Path, message: str) -> str:
    words = ["-c", "user.name=Tests", "-c", "user.email=tests@localhost", "commit", "-q", "-a", "-m", message]
    subprocess.run(["git", "-C", str(root), *words], check=True)
    return subprocess.run(
        ["git", "-C", str(root), "rev-parse", "HEAD"], check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.mark.slow
def test_a_model_names_the_commit_that_its_run_began_with(
    shipway: Any, make_harbour: Callable[..., Path], tmp_path: Path
) -> None:
    harbour = make_harbour(tmp_path / "harbour")
    (harbour / "notes.txt").write_text("before\n")
    subprocess.run(["git", "-C", str(harbour), "add", "notes.txt"], check=True)
    began = commit(harbour, "Before")
    assert shipway(harbour, "ship", SHIPWAY_CRASH_AT="job:recorded").returncode == -9
    (harbour / "notes.txt").write_text("after\n")
    assert commit(harbour, "After") != began
    done = shipway(harbour, "ship")
    assert done.returncode == 0, done.stderr
    assert [version["triple"]["code"] for version in json.loads(shipway(harbour, "models", "--json").stdout)] == [began]
    assert len(Opened(harbour).journal.list()) == 1


@pytest.mark.slow
def test_a_gate_that_was_changed_is_asked_and_not_what_a_dead_driver_had_recorded(
    shipway: Any, make_harbour: Callable[..., Path], tmp_path: Path
) -> None:
    harbour = make_harbour(tmp_path / "harbour")
    assert shipway(harbour, "ship", SHIPWAY_CRASH_AT="gate:recorded").returncode == -9
    file = harbour / "shipway.yaml"
    file.write_text(file.read_text().replace("error <= 2.5", "error <= 0.1"))
    assert shipway(harbour, "resume").returncode == 1
    assert shipway(harbour, "ship").returncode == 3


@pytest.mark.slow
def test_stages_that_were_renamed_are_shipped_from_the_store(
    shipway: Any, make_harbour: Callable[..., Path], tmp_path: Path
) -> None:
    harbour = make_harbour(tmp_path / "harbour")
    assert shipway(harbour, "run").returncode == 0
    file = harbour / "shipway.yaml"
    file.write_text(file.read_text().replace("  train:\n", "  fit:\n").replace("  evaluate:\n", "  judge:\n"))
    done = shipway(harbour, "ship")
    assert done.returncode == 0, done.stderr
    assert "fit: cached" in done.stderr


class Away(MemoryTracker):
    """A tracking server that does not answer."""

    def start(self, run: str, **named: Any) -> str:
        raise UnavailableError("nobody is there")


def test_whoever_looks_on_is_told_that_the_tracker_does_not_answer(make_project: MakeProject) -> None:
    opened = Opened(make_project(TRACKED.replace("NAME", "old"), {"in.txt": "", "other": "1"}))
    opened.__dict__["tracking"] = (Away(), None)
    events: list[Event] = []
    assert running.run(opened, running.Request(), events.append).run.state is RunState.SUCCEEDED
    assert [event.data["reason"] for event in events if event.kind == "tracking away"] == ["nobody is there"]
