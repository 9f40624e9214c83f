"""Several drivers, one after another or at once, meet at the same jobs; and what looks on cannot break a run."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from shipway.app import running
from shipway.app.opened import Opened
from shipway.errors import (
    LeaseLostError,
    OutputMissingError,
    ShipwayError,
    StageError,
    StageFailedError,
    UnavailableError,
)
from shipway.pipeline.graph import Selection
from shipway.pipeline.retry import Clock, retrying
from shipway.specs.jobs import JobHandle, JobState, JobStatus
from shipway.specs.runs import Event, RunState, StageState
from shipway.specs.trees import Digest
from shipway.store.base import Store
from shipway.testing.fake_backend import FakeBackend, FarSide

MakeProject = Callable[..., Path]

FILE = """
project: shared
tracking: off
stages:
  one: {run: "COMMAND", inputs: [in.txt], outputs: [one.txt]}
  two: {run: "cp one.txt two.txt", inputs: [one.txt], outputs: [two.txt]}
"""


class Drivers:
    """Any number of drivers of one project, whose jobs run on one far side."""

    def __init__(self, root: Path, work: Path) -> None:
        self.root = root
        self.work = work
        self.far = FarSide()

    def open(self, kind: type[FakeBackend] = FakeBackend) -> Opened:
        opened = Opened(self.root)
        opened._backends["local"] = kind(self.work, opened.store, opened.views, far=self.far)
        return opened

    def run(
        self,
        kind: type[FakeBackend] = FakeBackend,
        observer: Callable[[Event], None] = lambda event: None,
        **selection: Any,
    ) -> running.Report:
        request = running.Request(selection=Selection(**selection), jobs=4)
        return running.run(self.open(kind), request, observer)

    def command(self, command: str) -> None:
        (self.root / "shipway.yaml").write_text(FILE.replace("COMMAND", command))


@pytest.fixture
def drivers(make_project: MakeProject, tmp_path: Path) -> Iterator[Drivers]:
    made = Drivers(make_project(FILE.replace("COMMAND", "cp in.txt one.txt"), {"in.txt": "in\n"}), tmp_path / "far")
    yield made
    made.far.close()


class Beside:
    """A driver in a thread; `error` is what it raised."""

    def __init__(self, act: Callable[[], object]) -> None:
        self.error: BaseException | None = None
        self._act = act
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._act()
        except BaseException as error:
            self.error = error

    def end(self) -> BaseException | None:
        self._thread.join(20)
        assert not self._thread.is_alive()
        return self.error


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def rows(drivers: Drivers) -> Mapping[str, Any]:
    journal = drivers.open().journal
    return {row.name: row for row in journal.stages(journal.list()[0].id)}


# What is kept of a failure


def test_a_failed_stage_keeps_its_key_its_job_and_its_times(drivers: Drivers) -> None:
    drivers.command("echo said; exit 7")
    with pytest.raises(StageFailedError):
        drivers.run()
    row = rows(drivers)["one"]
    assert row.state is StageState.FAILED
    assert row.key is not None
    assert row.started is not None
    assert row.ended is not None


def test_what_is_shown_without_a_name_is_what_the_failed_stage_printed(shipway: Any, make_project: MakeProject) -> None:
    file = FILE.replace("COMMAND", "echo first; cp in.txt one.txt").replace("cp one.txt two.txt", "echo second; exit 1")
    root = make_project(file, {"in.txt": ""})
    assert shipway(root, "run").returncode == 1
    assert shipway(root, "logs").stdout == "second\n"


# Jobs that another run made


def test_a_job_of_a_run_that_failed_before_it_began_is_cancelled_with_the_run_that_has_it_now(
    drivers: Drivers, monkeypatch: pytest.MonkeyPatch
) -> None:
    drivers.command("sleep 30")
    file = drivers.root / "shipway.yaml"
    file.write_text(file.read_text().replace("outputs: [one.txt]", "outputs: [one.txt], secrets: [SOME_TOKEN]"))
    monkeypatch.delenv("SOME_TOKEN", raising=False)
    with pytest.raises(ShipwayError, match="SOME_TOKEN"):
        drivers.run()
    monkeypatch.setenv("SOME_TOKEN", "x")
    second = Beside(drivers.run)
    until(lambda: drivers.far.started)
    opened = drivers.open()
    running.cancel(opened, opened.journal.list()[0].id)
    assert isinstance(second.end(), KeyboardInterrupt)
    assert drivers.far.jobs == {}
    assert {job.state for job in opened.journal.jobs()} == {JobState.CANCELLED}


def test_a_job_whose_other_driver_tidied_up_after_its_failure_is_told_as_it_failed(drivers: Drivers) -> None:
    drivers.command("echo said; exit 7")

    class Slow(FakeBackend):
        """Its driver hears of the end only when the other one has tidied up."""

        def status(self, handles: Sequence[JobHandle]) -> Mapping[JobHandle, JobStatus]:
            if self.far.jobs:
                return {handle: JobStatus(state=JobState.RUNNING) for handle in handles}
            return super().status(handles)

    first = Beside(lambda: drivers.run(Slow))
    until(lambda: drivers.far.started)
    second = Beside(lambda: drivers.run(only=("one",)))
    for error in (first.end(), second.end()):
        assert isinstance(error, StageFailedError)
        assert "exit code 7" in error.message
    assert len(drivers.far.started) == 1
    opened = drivers.open()
    for run in opened.journal.list():
        assert b"".join(running.logs(opened, run, "one", follow=False)) == b"said\n"


def test_a_driver_that_collects_what_another_takes_away_looks_the_result_up(drivers: Drivers) -> None:
    class Overtaken(FakeBackend):
        """Another driver collects, records and removes the job while this one collects it."""

        def collect(self, handle: JobHandle, store: Store) -> Mapping[str, Digest]:
            drivers.run(only=("one",))
            raise OutputMissingError("one.txt is not there")

    assert drivers.run(Overtaken, only=("one",)).run.state is RunState.SUCCEEDED
    assert len(drivers.far.started) == 1


# Drivers that died


LEDGER = """
project: forced
tracking: off
stages:
  one: {run: "echo ran >> LEDGER; cp in.txt one.txt", inputs: [in.txt], outputs: [one.txt]}
  two: {run: "cp one.txt two.txt", inputs: [one.txt], outputs: [two.txt]}
"""


@pytest.mark.parametrize("restart", ["run", "resume"])
@pytest.mark.parametrize("point", ["result:stored", "stage:saved", "job:removed"])
def test_a_forced_stage_runs_once_more_and_not_once_for_each_driver(
    shipway: Any, make_project: MakeProject, tmp_path: Path, point: str, restart: str
) -> None:
    root = make_project(LEDGER.replace("LEDGER", str(tmp_path / "ledger")), {"in.txt": ""})
    assert shipway(root, "run").returncode == 0
    assert shipway(root, "run", "--force", "one", SHIPWAY_CRASH_AT=point).returncode == -9
    words = ("run", "--force", "one") if restart == "run" else ("resume",)
    done = shipway(root, *words)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "ledger").read_text() == "ran\n" * 2


def test_a_job_that_a_dead_driver_had_cancelled_is_run_again(shipway: Any, make_project: MakeProject) -> None:
    root = make_project(FILE.replace("COMMAND", "sleep 30"), {"in.txt": ""})
    assert shipway(root, "run", SHIPWAY_CRASH_AT="job:recorded").returncode == -9
    opened = Opened(root)
    (job,) = opened.journal.jobs()
    opened.backend("local").cancel(JobHandle.parse(str(job.handle)))
    again = shipway.start(root, "run")
    until(lambda: len(opened.journal.jobs()) == 2)
    again.send_signal(2)
    again.communicate(timeout=30)
    assert [job.state for job in opened.journal.jobs()] == [JobState.CANCELLED, JobState.CANCELLED]
    assert list((root / ".shipway" / "jobs").glob("*")) == []


def test_a_run_that_ended_while_it_was_about_to_be_taken_up_is_left_alone(
    drivers: Drivers, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = drivers.open()
    drivers.command("exit 7")
    with pytest.raises(StageFailedError):
        drivers.run()
    (ended,) = opened.journal.list()
    stale = msgspec.structs.replace(ended, state=RunState.RUNNING, ended=None)
    fresh = drivers.open()
    real = fresh.journal.list
    monkeypatch.setattr(fresh.journal, "list", lambda **asked: [stale] if asked.get("states") else real(**asked))
    with pytest.raises(StageFailedError):
        running.run(fresh, running.Request(jobs=4), lambda event: None)
    assert len(real()) == 2


# What may go wrong beside the run


def test_a_terminal_that_went_away_does_not_end_the_run(drivers: Drivers) -> None:
    def gone(event: Event) -> None:
        raise BrokenPipeError

    assert drivers.run(observer=gone).run.state is RunState.SUCCEEDED


def test_a_backend_that_breaks_while_it_is_asked_fails_the_stage_instead_of_waiting_for_ever(drivers: Drivers) -> None:
    drivers.command("sleep 30")

    class Broken(FakeBackend):
        def status(self, handles: Sequence[JobHandle]) -> Mapping[JobHandle, JobStatus]:
            raise KeyError("slot")

    driver = Beside(lambda: drivers.run(Broken))
    assert isinstance(driver.end(), KeyError)
    assert rows(drivers)["one"].state is StageState.FAILED


@pytest.mark.slow
def test_a_result_that_cannot_be_told_ends_the_run_after_the_stages_beside_it(
    make_project: MakeProject, tmp_path: Path
) -> None:
    file = """
project: wide
stages:
  bad: {run: "echo nonsense > m.json", inputs: [], metrics: [m.json]}
  long: {run: "sleep 0.7; echo > long.txt", inputs: [], outputs: [long.txt]}
"""
    wide = Drivers(make_project(file), tmp_path / "far")
    with pytest.raises(StageError, match=r"m\.json"):
        wide.run()
    (run,) = wide.open().journal.list()
    long = rows(wide)["long"]
    assert long.state is StageState.SUCCEEDED
    assert run.ended >= long.ended
    assert wide.far.jobs == {}


def test_retrying_ends_when_the_run_has_to_stop() -> None:
    stop = threading.Event()
    calls = []

    def call() -> None:
        calls.append(1)
        stop.set()
        raise UnavailableError("away")

    with pytest.raises(ShipwayError, match="away"):
        retrying(call, Clock(now=time.time, sleep=time.sleep), stop=stop)
    assert calls == [1]


def test_a_lease_that_cannot_be_given_back_does_not_fail_a_run_that_has_ended(
    drivers: Drivers, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = drivers.open()

    def away(lease: object) -> None:
        raise UnavailableError("the journal is away")

    monkeypatch.setattr(opened.journal, "release", away)
    assert running.run(opened, running.Request(), lambda event: None).run.state is RunState.SUCCEEDED


def test_a_driver_that_lost_its_run_leaves_the_job_and_the_end_to_the_other(drivers: Drivers, tmp_path: Path) -> None:
    drivers.command(f"while [ ! -e {tmp_path}/go ]; do sleep 0.01; done; cp in.txt one.txt")
    first = Beside(drivers.run)
    until(lambda: drivers.far.started)
    journal = drivers.open().journal
    (run,) = journal.list()
    held = journal.holder(f"run/{run.id}")
    assert held is not None
    journal.release(held)
    journal.claim(f"run/{run.id}", "another", timedelta(seconds=60))
    (tmp_path / "go").touch()
    error = first.end()
    assert isinstance(error, LeaseLostError)
    assert journal.get(run.id).state is RunState.RUNNING
    assert [row.state for row in journal.stages(run.id)] == [StageState.RUNNING, StageState.WAITING]
    assert len(drivers.far.jobs) == 1
