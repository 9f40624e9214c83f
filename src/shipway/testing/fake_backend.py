"""
A backend for tests of whatever uses one: jobs run at once, on this machine, and it misbehaves when told to.

It passes the suite that the real ones pass. What would be the far side is the object `FarSide`, which any number of instances share.
"""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from shipway.backends.base import Backend, Capability
from shipway.backends.environment import job_environment
from shipway.backends.outputs import collect_outputs
from shipway.backends.process import delete
from shipway.backends.request import to_request, to_text
from shipway.backends.staging import Staged, Stager
from shipway.errors import NotFoundError, StageError, UnavailableError
from shipway.specs.jobs import Failure, JobHandle, JobSpec, JobState, JobStatus
from shipway.specs.trees import Digest
from shipway.store.base import Store
from shipway.store.hashing import Scanner
from shipway.store.views import Views


class FakeJob:
    """One job; `process` is None where the program could not be started."""

    def __init__(self, spec: JobSpec, home: Path, staged: Staged) -> None:
        self.spec = spec
        self.home = home
        self.staged = staged
        self.started = time.time()
        self.ended: float | None = None
        self.cause: JobState | Failure | None = None
        self.process: subprocess.Popen[bytes] | None = None
        env = job_environment(spec, str(home), os.environ)
        with (home / "log").open("ab") as log:
            try:
                self.process = subprocess.Popen(
                    spec.command,
                    cwd=home / "work",
                    env=env,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    process_group=0,
                )
            except OSError:
                self.cause = Failure.NOT_STARTED

    def end(self, cause: JobState | Failure) -> None:
        """End it, unless it has ended."""
        if self.process is not None and self.status().state is JobState.RUNNING:
            self.cause = cause
            self._kill_group()
            self.process.wait()

    def status(self) -> JobStatus:
        late = self.spec.timeout is not None and time.time() - self.started > self.spec.timeout.total_seconds()
        code = None if self.process is None else self.process.poll()
        if self.process is not None and code is None:
            if not late:
                return JobStatus(state=JobState.RUNNING, started=self.started)
            self.cause = Failure.TIMEOUT
            self._kill_group()
            code = self.process.wait()
        self._kill_group()
        self.ended = self.ended or time.time()
        return _ended(self, code)

    def _kill_group(self) -> None:
        if self.process is not None:
            try:
                os.killpg(self.process.pid, signal.SIGKILL)
            except ProcessLookupError:
                return


class FarSide:
    """
    What all instances share, and what a test tells it to do wrong.

    `unknown`: so many times status answers UNKNOWN. `unavailable`: so many calls of any verb raise UnavailableError. `started` are the ids that were
    ever started, in order, each as often as it was.
    """

    def __init__(self) -> None:
        self.jobs: dict[str, FakeJob] = {}
        self.started: list[str] = []
        self.unknown = 0
        self.unavailable = 0
        self.lock = threading.RLock()

    def lose(self, job: str) -> None:
        """End a running job so that it leaves no exit code, as a machine does that goes away."""
        with self.lock:
            self.jobs[job].end(Failure.LOST)

    def forget(self, job: str) -> None:
        """End a job and know nothing of it any more."""
        with self.lock:
            found = self.jobs.pop(job)
            found.end(Failure.LOST)
            delete(found.home)

    def close(self) -> None:
        """End all that runs."""
        for job in self.jobs.values():
            job.end(Failure.LOST)


class FakeBackend(Backend):
    """Made as `ProcessBackend` is; `far` is what another instance has to share to see the same jobs."""

    name: ClassVar[str] = "fake"
    capabilities: ClassVar[frozenset[Capability]] = frozenset({Capability.TIMEOUT})

    def __init__(self, workspace: Path, store: Store, views: Views, *, far: FarSide | None = None) -> None:
        self._workspace = workspace.absolute()
        self._stager = Stager(store, views, workspace / "cache")
        self.far = far or FarSide()

    def render(self, job: JobSpec) -> str:
        return to_text(to_request(job))

    def submit(self, job: JobSpec) -> JobHandle:
        self.render(job)
        self._answer()
        with self.far.lock:
            if job.id not in self.far.jobs:
                home = self._workspace / job.id
                home.mkdir(parents=True)
                staged = self._stager.stage(job.inputs, job.outputs, home / "work")
                self.far.jobs[job.id] = FakeJob(job, home, staged)
                self.far.started.append(job.id)
        return JobHandle(self.name, job.id)

    def status(self, handles: Sequence[JobHandle]) -> Mapping[JobHandle, JobStatus]:
        self._answer()
        with self.far.lock:
            if self.far.unknown:
                self.far.unknown -= 1
                return {handle: JobStatus(state=JobState.UNKNOWN, reason="told to") for handle in handles}
            return {handle: self._status(handle) for handle in handles}

    def logs(self, handle: JobHandle, *, follow: bool = False) -> Iterator[bytes]:
        self._answer()
        return self._lines(handle, self._find(handle), follow)

    def cancel(self, handle: JobHandle) -> None:
        self._answer()
        with self.far.lock:
            self._find(handle).end(JobState.CANCELLED)

    def collect(self, handle: JobHandle, store: Store) -> Mapping[str, Digest]:
        self._answer()
        with self.far.lock:
            job = self._find(handle)
            if (state := job.status().state) is not JobState.SUCCEEDED:
                raise StageError(f"job {handle} has not succeeded: it is {state}")
            self._stager.check(job.staged, job.home / "work")
            return collect_outputs(job.home / "work", job.spec.outputs, store, Scanner(job.home / "cache"))

    def remove(self, handle: JobHandle) -> None:
        self._answer()
        with self.far.lock:
            if handle.native_id in self.far.jobs:
                self._stager.damage(self._find(handle).staged)
                self.far.forget(handle.native_id)

    def _status(self, handle: JobHandle) -> JobStatus:
        if handle.native_id not in self.far.jobs:
            return JobStatus(state=JobState.NOT_FOUND)
        job = self.far.jobs[handle.native_id]
        status = job.status()
        if status.state in (JobState.FAILED, JobState.CANCELLED):
            self._stager.damage(job.staged)
        return status

    def _lines(self, handle: JobHandle, job: FakeJob, follow: bool) -> Iterator[bytes]:
        with (job.home / "log").open("rb") as log:
            rest = b""
            while True:
                ended = not follow or self._status(handle).state is not JobState.RUNNING
                for line in log:
                    rest += line
                    if rest.endswith(b"\n"):
                        yield rest
                        rest = b""
                if ended:
                    break
                time.sleep(0.01)
        if rest:
            yield rest

    def _find(self, handle: JobHandle) -> FakeJob:
        if handle.native_id not in self.far.jobs:
            raise NotFoundError(f"there is no job {handle}")
        return self.far.jobs[handle.native_id]

    def _answer(self) -> None:
        with self.far.lock:
            if self.far.unavailable:
                self.far.unavailable -= 1
                raise UnavailableError("the far side does not answer: told to")


def _ended(job: FakeJob, code: int | None) -> JobStatus:
    if job.cause is JobState.CANCELLED:
        state, failure = JobState.CANCELLED, None
    elif isinstance(job.cause, Failure):
        state, failure = JobState.FAILED, job.cause
        code = None if failure is Failure.LOST else code
    else:
        state = JobState.FAILED if code else JobState.SUCCEEDED
        failure = Failure.EXIT if code else None
    return JobStatus(state=state, exit_code=code, failure=failure, started=job.started, ended=job.ended)
