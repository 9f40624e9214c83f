"""What every backend must do with a command, as tests: run it once, tell of it, end it, forget it."""

import threading
from collections.abc import Callable
from datetime import timedelta

import pytest

from shipway.backends.base import Backend, Capability
from shipway.errors import NotFoundError, StageError
from shipway.specs.jobs import Failure, JobHandle, JobState
from shipway.store.base import Store
from shipway.testing.backend_suite import BackendSuite

AWKWARD = (
    "plain",
    "two words",
    'quo"te',
    "sin'gle",
    "dollar$HOME",
    "back\\slash",
    "new\nline",
    "",
    "*",
    "-n",
    "ünï",
    "$(id)",
    "`id`",
    " ",
    "\t",
)
TICKS = "while :; do echo tick; sleep 0.05; done"


class Running(BackendSuite):
    """One command, from submit to its end."""

    def test_success_is_told_with_exit_code_and_times(self, backend: Backend) -> None:
        status = self.wait(backend, backend.submit(self.job("true")))
        assert (status.state, status.exit_code, status.failure) == (JobState.SUCCEEDED, 0, None)
        assert status.started is not None
        assert status.ended is not None
        assert status.started <= status.ended

    def test_failure_keeps_the_exit_code(self, backend: Backend) -> None:
        status = self.wait(backend, backend.submit(self.sh("exit 7")))
        assert (status.state, status.exit_code, status.failure) == (JobState.FAILED, 7, Failure.EXIT)

    def test_a_missing_program_fails_the_job_not_the_caller(self, backend: Backend) -> None:
        status = self.wait(backend, backend.submit(self.job("/no/such/program")))
        assert (status.state, status.failure) == (JobState.FAILED, Failure.NOT_STARTED)

    def test_a_command_may_end_with_the_code_of_a_missing_program(self, backend: Backend) -> None:
        status = self.wait(backend, backend.submit(self.sh("exit 127")))
        assert (status.exit_code, status.failure) == (127, Failure.EXIT)

    def test_a_command_killed_by_a_signal_has_failed(self, backend: Backend) -> None:
        status = self.wait(backend, backend.submit(self.sh("kill -KILL $$")))
        assert (status.state, status.failure) == (JobState.FAILED, Failure.EXIT)
        assert status.exit_code in (-9, 137)

    @pytest.mark.parametrize("text", AWKWARD)
    def test_arguments_arrive_verbatim(self, backend: Backend, text: str) -> None:
        assert self.printed(backend, self.job("printf", "[%s]", text)) == f"[{text}]".encode()

    @pytest.mark.parametrize("text", AWKWARD)
    def test_variables_and_secrets_arrive_verbatim(self, backend: Backend, text: str) -> None:
        job = self.job(
            "sh", "-c", 'printf "[%s][%s]" "$T_ENV" "$T_SECRET"', env={"T_ENV": text}, secrets={"T_SECRET": text}
        )
        assert self.printed(backend, job) == f"[{text}][{text}]".encode()

    @pytest.mark.parametrize("name", ["home", "code", "timeout", "PS4", "ENV", "LINENO", "MAIL", "_sw"])
    def test_variables_keep_whatever_name_they_have(self, backend: Backend, name: str) -> None:
        assert self.printed(backend, self.job("env", env={name: "mine"})).count(f"\n{name}=mine\n".encode()) == 1

    def test_standard_input_is_empty(self, backend: Backend) -> None:
        assert self.printed(backend, self.sh("cat; echo end")) == b"end\n"

    # Once

    def test_one_id_runs_once(self, backend: Backend) -> None:
        job = self.job("cat", "/proc/sys/kernel/random/uuid")
        first, second = backend.submit(job), backend.submit(job)
        self.wait(backend, first)
        printed = list(backend.logs(first))
        assert backend.submit(job) == first == second
        self.wait(backend, first)
        assert not self.still_printing(backend, first)
        assert list(backend.logs(first)) == printed
        assert len(printed) == 1

    def test_one_id_submitted_by_many_at_once_runs_once(self, backend: Backend, reopen: Callable[[], Backend]) -> None:
        job = self.sh("echo ran; sleep 0.2")
        handles: list[JobHandle] = []
        threads = [threading.Thread(target=lambda: handles.append(reopen().submit(job))) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert set(handles) == {backend.submit(job)}
        self.wait(backend, handles[0])
        assert not self.still_printing(backend, handles[0])
        assert list(backend.logs(handles[0])) == [b"ran\n"]

    def test_another_instance_can_submit_again_and_observe(
        self, backend: Backend, reopen: Callable[[], Backend]
    ) -> None:
        job = self.sh("sleep 0.2; echo done")
        handle = JobHandle.parse(str(backend.submit(job)))
        other = reopen()
        assert other.submit(job) == handle
        assert self.wait(other, handle).state is JobState.SUCCEEDED
        assert list(other.logs(handle)) == [b"done\n"]

    # Status

    def test_many_jobs_are_told_of_in_one_call(self, backend: Backend) -> None:
        good, bad = backend.submit(self.job("true")), backend.submit(self.job("false"))
        stranger = JobHandle(backend.name, "t-never-submitted")
        self.wait(backend, good)
        self.wait(backend, bad)
        found = backend.status([good, stranger, bad])
        assert [found[handle].state for handle in (good, bad, stranger)] == [
            JobState.SUCCEEDED,
            JobState.FAILED,
            JobState.NOT_FOUND,
        ]
        assert len(found) == 3
        assert backend.status([]) == {}

    # Stopping

    def test_a_job_that_runs_out_of_time_fails_by_timeout(self, backend: Backend) -> None:
        if Capability.TIMEOUT not in backend.capabilities:
            pytest.skip("has no timeout")
        handle = backend.submit(self.sh("echo began; sleep 60", timeout=timedelta(seconds=0.3)))
        status = self.wait(backend, handle)
        assert (status.state, status.failure) == (JobState.FAILED, Failure.TIMEOUT)
        assert list(backend.logs(handle)) == [b"began\n"]

    def test_a_job_that_is_done_in_time_is_not_touched_by_its_timeout(self, backend: Backend) -> None:
        if Capability.TIMEOUT not in backend.capabilities:
            pytest.skip("has no timeout")
        assert self.printed(backend, self.sh("echo done", timeout=timedelta(seconds=60))) == b"done\n"

    def test_cancel_stops_a_running_job_and_is_repeatable(self, backend: Backend) -> None:
        handle = backend.submit(self.sh("echo began; sleep 60"))
        self.until_printed(backend, handle, b"began\n")
        backend.cancel(handle)
        backend.cancel(handle)
        assert self.wait(backend, handle).state is JobState.CANCELLED
        backend.cancel(handle)
        assert self.status(backend, handle).state is JobState.CANCELLED

    def test_cancel_right_after_submit_holds(self, backend: Backend) -> None:
        handle = backend.submit(self.sh(TICKS))
        backend.cancel(handle)
        assert self.wait(backend, handle).state is JobState.CANCELLED
        assert not self.still_printing(backend, handle)

    def test_a_cancelled_job_is_not_started_by_submitting_it_again(self, backend: Backend) -> None:
        job = self.sh(TICKS)
        handle = backend.submit(job)
        backend.cancel(handle)
        backend.submit(job)
        assert self.wait(backend, handle).state is JobState.CANCELLED
        assert not self.still_printing(backend, handle)

    def test_cancel_stops_what_the_job_started(self, backend: Backend) -> None:
        handle = backend.submit(self.sh(f"({TICKS}) & sleep 60"))
        self.until_printed(backend, handle, b"tick\n")
        backend.cancel(handle)
        self.wait(backend, handle)
        assert not self.still_printing(backend, handle)

    def test_cancel_leaves_a_finished_job_alone(self, backend: Backend) -> None:
        handle = backend.submit(self.job("true"))
        self.wait(backend, handle)
        backend.cancel(handle)
        assert self.status(backend, handle).state is JobState.SUCCEEDED

    def test_what_a_job_leaves_in_the_background_ends_with_it(self, backend: Backend) -> None:
        handle = backend.submit(self.sh(f"({TICKS}) & sleep 0.1"))
        assert self.wait(backend, handle).state is JobState.SUCCEEDED
        assert not self.still_printing(backend, handle)

    def test_remove_forgets_a_job(self, backend: Backend) -> None:
        handle = backend.submit(self.job("true"))
        self.wait(backend, handle)
        backend.remove(handle)
        backend.remove(handle)
        assert self.status(backend, handle).state is JobState.NOT_FOUND
        with pytest.raises(NotFoundError):
            backend.logs(handle)

    def test_remove_ends_a_live_job_first(self, backend: Backend, kept: Callable[[], bytes]) -> None:
        job = self.sh(TICKS)
        handle = backend.submit(job)
        self.until_printed(backend, handle, b"tick\n")
        backend.remove(handle)
        assert self.status(backend, handle).state is JobState.NOT_FOUND
        assert job.id.encode() not in kept()

    def test_an_id_may_be_used_again_once_it_is_removed(self, backend: Backend) -> None:
        job = self.job("cat", "/proc/sys/kernel/random/uuid")
        first = self.printed(backend, job)
        backend.remove(backend.submit(job))
        assert self.printed(backend, job) != first

    def test_collecting_from_a_job_that_has_not_succeeded_is_refused(self, backend: Backend, store: Store) -> None:
        handle = backend.submit(self.sh("exit 3"))
        self.wait(backend, handle)
        with pytest.raises(StageError):
            backend.collect(handle, store)
