"""How a job ends is decided once, nothing of it survives, and one that vanished is never running for ever."""

import os
import signal
import subprocess
import time
from datetime import timedelta

import pytest

from shipway.backends import launching, process, processes
from shipway.backends.jobdir import JobDirectory
from shipway.backends.processes import Identity
from shipway.errors import UnavailableError
from shipway.specs.jobs import Failure, JobHandle, JobState, JobStatus

from .conftest import Bench, dead

STRAY = "setsid sh -c 'echo stray $$; touch up; exec sleep 300' & while [ ! -e up ]; do sleep 0.01; done; "


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launching, "GRACE_SECONDS", 0)


def stray(bench: Bench) -> int:
    bench.until_printed(b"stray")
    return int(bench.log().split(b"stray ")[1].split()[0])


def test_cancel_finds_a_process_that_left_the_group(bench: Bench) -> None:
    handle = bench.backend.submit(bench.job(STRAY + "sleep 300"))
    pid = stray(bench)
    bench.backend.cancel(handle)
    assert bench.wait(handle).state is JobState.CANCELLED
    assert dead(pid)
    assert not bench.living()


def test_a_process_that_left_the_group_ends_with_the_job(bench: Bench) -> None:
    assert bench.run(STRAY).state is JobState.SUCCEEDED
    assert dead(stray(bench))


def test_a_job_may_tidy_up_when_it_is_cancelled(bench: Bench) -> None:
    handle = bench.backend.submit(
        bench.job("trap 'echo tidied; exit 0' TERM; echo began; while :; do sleep 0.05; done")
    )
    bench.until_printed(b"began\n")
    bench.backend.cancel(handle)
    assert bench.wait(handle).state is JobState.CANCELLED
    assert bench.log().endswith(b"tidied\n")


def test_a_job_is_asked_once_to_end_however_often_it_is_cancelled(bench: Bench) -> None:
    script = "trap 'echo asked; asked=1' TERM; echo began; until [ $asked ]; do sleep 0.01; done; for i in 1 2 3 4 5 6; do sleep 0.1; done"
    handle = bench.backend.submit(bench.job(script, timeout=timedelta(hours=1)))
    bench.until_printed(b"began\n")
    for _ in range(3):
        bench.backend.cancel(handle)
    assert bench.wait(handle).state is JobState.CANCELLED
    assert bench.log().count(b"asked") == 1


def test_a_job_that_does_not_listen_is_killed(bench: Bench, impatient: None) -> None:
    handle = bench.backend.submit(bench.job("trap '' TERM; echo began; while :; do sleep 0.05; done"))
    bench.until_printed(b"began\n")
    bench.backend.cancel(handle)
    status = bench.wait(handle)
    assert (status.state, status.exit_code) == (JobState.CANCELLED, 137)
    assert not bench.living()


def test_a_job_that_does_not_listen_runs_out_of_time_all_the_same(bench: Bench, impatient: None) -> None:
    status = bench.run("trap '' TERM; while :; do sleep 0.05; done", timeout=timedelta(seconds=0.2))
    assert (status.failure, status.exit_code) == (Failure.TIMEOUT, 137)
    assert not bench.living()


def test_a_job_that_ends_in_time_leaves_no_timer(bench: Bench) -> None:
    assert bench.run("true", timeout=timedelta(hours=1)).state is JobState.SUCCEEDED
    bench.until(lambda: not bench.living())


def test_a_job_cancelled_before_its_start_never_starts(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(process, "launch", lambda *_: None)
        handle = bench.backend.submit(bench.job("echo ran"))
    bench.backend.cancel(handle)
    assert bench.status(handle).state is JobState.CANCELLED
    launching.launch(bench.directory(), bench.job("echo ran"))
    bench.until(lambda: not bench.living())
    assert bench.log() == b""
    assert bench.status(handle).state is JobState.CANCELLED


def test_a_wrapper_that_claims_after_the_verdict_does_not_start_the_job(bench: Bench) -> None:
    """The canceller died between verdict and claim."""
    bench.directory().path.mkdir(parents=True)
    bench.directory().decide("verdict", "cancelled")
    assert bench.run("echo ran").state is JobState.CANCELLED
    bench.until(lambda: not bench.living())
    assert bench.log() == b""


@pytest.mark.parametrize("delay", [0.0, 0.005, 0.01, 0.02, 0.03, 0.04, 0.05])
def test_which_of_exit_and_cancel_came_first_is_decided_once(bench: Bench, delay: float) -> None:
    handle = bench.backend.submit(bench.job("sleep 0.03"))
    time.sleep(delay)
    bench.backend.cancel(handle)
    first = bench.wait(handle)
    assert first.state in (JobState.SUCCEEDED, JobState.CANCELLED)
    bench.backend.cancel(handle)
    assert bench.status(handle) == first


def test_a_job_whose_wrapper_was_killed_is_lost_and_ended(bench: Bench) -> None:
    handle = bench.backend.submit(bench.job(STRAY + "echo $$; sleep 300"))
    stray(bench)
    claim = bench.directory().claim()
    assert claim is not None
    os.kill(claim.wrapper.pid, signal.SIGKILL)
    status = bench.wait(handle)
    assert (status.state, status.failure, status.exit_code) == (JobState.FAILED, Failure.LOST, None)
    bench.until(lambda: not bench.living())
    bench.backend.cancel(handle)
    assert bench.status(handle) == status


def pretend(bench: Bench, claim: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job that was claimed by what `claim` says."""
    monkeypatch.setattr(process, "launch", lambda *_: None)
    bench.backend.submit(bench.job("true"))
    (bench.directory().path / "claim").write_text(claim)


def claimed_by(wrapper: Identity, boot: str, host: str) -> str:
    return f"{wrapper.pid} {wrapper.start} {boot} {host}\n"


def test_a_pid_that_is_used_again_is_not_the_job(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    me = processes.this_process()
    other = Identity(me.pid, me.start - 1)
    pretend(bench, claimed_by(other, processes.boot_id(), processes.host_name()), monkeypatch)
    assert bench.status(bench.backend.submit(bench.job("true"))).failure is Failure.LOST


def test_a_job_from_before_a_reboot_is_lost_and_nobody_is_harmed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    me = processes.this_process()
    pretend(bench, claimed_by(me, "another-boot", processes.host_name()), monkeypatch)
    monkeypatch.setattr(processes, "end", None)
    assert bench.status(bench.backend.submit(bench.job("true"))).failure is Failure.LOST


def test_a_job_of_another_machine_is_unknown_here(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(bench, claimed_by(processes.this_process(), "another-boot", "another-host"), monkeypatch)
    status = bench.status(bench.backend.submit(bench.job("true")))
    assert status.state is JobState.UNKNOWN
    assert "another-host" in str(status.reason)
    with pytest.raises(UnavailableError, match="another-host"):
        bench.backend.cancel(JobHandle("process", "t-1"))
    (bench.directory().path / "claim").write_text("cancelled\n")


def test_a_claim_that_stayed_empty_is_lost_in_time(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(bench, "", monkeypatch)
    handle = bench.backend.submit(bench.job("true"))
    assert bench.status(handle).state is JobState.QUEUED
    os.utime(bench.directory().path / "claim", (0, 0))
    assert bench.status(handle).failure is Failure.LOST


def test_a_verdict_cut_off_by_a_full_disk_is_lost(bench: Bench) -> None:
    handle = bench.backend.submit(bench.job("sleep 0.1"))
    (bench.directory().path / "verdict").touch()
    assert bench.wait(handle).failure is Failure.LOST


def test_a_wrapper_that_ended_but_is_not_reaped_is_not_alive(bench: Bench) -> None:
    bench.backend.submit(bench.job("true"))
    bench.until(lambda: bench.directory().status().state is JobState.SUCCEEDED)


def test_a_signal_is_named_in_the_reason(bench: Bench) -> None:
    assert "SIGSEGV" in str(bench.run("kill -SEGV $$").reason)


def test_a_wrapper_that_does_not_lead_its_group_runs_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends its group at the end, which must not be ours."""
    with monkeypatch.context() as patch:
        patch.setattr(process, "launch", lambda *_: None)
        bench.backend.submit(bench.job("echo ran"))
    argv = [
        "/bin/sh",
        launching._WRAPPER,
        "run",
        str(bench.directory().path),
        "/usr/bin/setsid",
        "",
        "5",
        "echo",
        "ran",
    ]
    done = subprocess.run(argv, cwd=bench.directory().work, capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (1, b"")
    assert not bench.directory().claimed


def test_a_job_that_another_process_removes_at_the_same_time_is_removed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.run("true")
    handle = JobHandle("process", "t-1")
    real = bench.directory().status

    def overtaken(_: object) -> JobStatus:
        process.delete(bench.directory().path)
        return real()

    monkeypatch.setattr(JobDirectory, "status", overtaken)
    bench.backend.remove(handle)
    assert bench.backend.status([handle])[handle].state is JobState.NOT_FOUND
