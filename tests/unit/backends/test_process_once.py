"""One id runs once, however often it is submitted, by however many, and wherever one of them died."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from shipway.backends import jobdir, process, processes
from shipway.specs.jobs import Failure, JobState

from .conftest import Bench

SUBMITTERS = Path(__file__).with_name("submitters.py")


def submitter(root: Path, how: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, str(SUBMITTERS), str(root), how], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


@pytest.mark.slow
def test_a_submitter_may_die_before_anything_that_it_touches(tmp_path: Path) -> None:
    with submitter(tmp_path, "die-everywhere") as program:
        out, _ = program.communicate(timeout=120)
    *died, lived = out.splitlines()
    assert len(died) > 15
    assert {line.partition("[")[0] for line in died} == {"died data code "}
    assert lived.startswith("lived data code ")
    assert "staging" not in out


@pytest.mark.slow
def test_many_processes_that_submit_at_once_run_it_once(bench: Bench) -> None:
    many = [submitter(bench.root, "once") for _ in range(6)]
    for one in many:
        assert one.stdin
        one.stdin.write("x")
        one.stdin.close()
    for one in many:
        assert one.stdout
        one.stdout.close()
        assert one.wait(60) == 0
    bench.until(lambda: not bench.living())
    assert bench.log() == b"data code\n"
    assert not [name for name in os.listdir(bench.directory().path) if name.startswith("staging")]


def test_a_job_outlives_its_submitter(bench: Bench) -> None:
    with submitter(bench.root, "leave") as program:
        program.communicate(timeout=60)
    bench.until_printed(b"done\n")
    bench.until(
        lambda: bench.backend.status([handle := bench.backend.submit(bench.job("false"))])[handle].state.terminal
    )
    assert bench.log() == b"began\ndone\n"


def test_time_runs_out_though_nobody_watches(bench: Bench) -> None:
    with submitter(bench.root, "leave-timeout") as program:
        program.communicate(timeout=60)
    bench.until(lambda: bench.directory().verdict() == ["timeout"])
    bench.until(lambda: not bench.living())
    assert bench.run("unused").failure is Failure.TIMEOUT


def test_a_job_that_is_staged_but_not_started_is_queued(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "launch", lambda *_: None)
    handle = bench.backend.submit(bench.job("true"))
    assert bench.status(handle).state is JobState.QUEUED


def test_one_that_nobody_will_start_says_so_and_starts_when_it_is_submitted_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(process, "launch", lambda *_: None)
        handle = bench.backend.submit(bench.job("true"))
    os.utime(bench.directory().path, (0, 0))
    assert (bench.status(handle).state, bench.status(handle).failure) == (JobState.FAILED, Failure.NOT_STARTED)
    assert bench.run("true").state is JobState.SUCCEEDED


def test_one_that_is_still_being_staged_is_queued_however_long_it_takes(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "launch", lambda *_: None)
    handle = bench.backend.submit(bench.job("true"))
    staging = bench.directory().path / jobdir.private_name("staging", processes.this_process(), 999)
    staging.mkdir()
    os.utime(bench.directory().path, (0, 0))
    assert bench.status(handle).state is JobState.QUEUED
    staging.rmdir()


def test_what_a_dead_stager_left_is_cleared_away(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    left = bench.directory().path / "staging.999999999.1.0"
    (left / "work").mkdir(parents=True)
    assert bench.run("true").state is JobState.SUCCEEDED
    assert not left.exists()


def test_a_request_cut_off_by_a_power_failure_is_written_again(bench: Bench) -> None:
    bench.directory().path.mkdir(parents=True)
    bench.directory().request.write_bytes(b"")
    assert bench.run("true").state is JobState.SUCCEEDED
    assert bench.directory().request.read_bytes()


def test_submitting_a_running_job_starts_no_second_wrapper(bench: Bench) -> None:
    bench.backend.submit(bench.job("echo began; sleep 60"))
    bench.until_printed(b"began\n")
    before = bench.living()
    bench.backend.submit(bench.job("echo began; sleep 60"))
    time.sleep(0.05)
    assert bench.living() == before
