"""
Makes the result of one key: choose the job, submit it, wait, collect, record.

Every step is journaled before the next, so any driver can go on from any point; other drivers may wait for the same job.
"""

from typing import NamedTuple

import msgspec

from shipway.backends.base import Backend
from shipway.errors import (
    InputChangedError,
    NotFoundError,
    ShipwayError,
    StageError,
    StageFailedError,
    UnavailableError,
)
from shipway.pipeline.inputs import Resolved
from shipway.pipeline.plan import Planner
from shipway.pipeline.retry import retrying
from shipway.pipeline.session import Session
from shipway.pipeline.submission import choose_job, in_words, job_spec
from shipway.pipeline.tools import Task, Tools
from shipway.pipeline.watch import Watch
from shipway.specs.jobs import JobHandle, JobState, JobStatus
from shipway.specs.runs import JobRow
from shipway.specs.stages import KeyParts, StageResult
from shipway.specs.trees import Digest

_CANCEL_PATIENCE = 20.0
_REJOINS = 3
_LOG_LIMIT = 64 * 1024 * 1024
"""Bytes of a job's output that are kept; of more, the last."""


class Wanted(NamedTuple):
    """What is to be made, and where."""

    task: Task
    key: Digest
    parts: KeyParts
    resolved: Resolved
    backend: Backend


class Making:
    """One key whose result has to be made: choose the job, submit it, wait, collect, record."""

    def __init__(self, planner: Planner, tools: Tools, watch: Watch, session: Session, wanted: Wanted) -> None:
        self._planner = planner
        self._tools = tools
        self._watch = watch
        self._session = session
        self._wanted = wanted
        self._task = wanted.task
        self._key = wanted.key
        self._backend = wanted.backend
        self._own_copies = True
        """Whether inputs may be links to the project's own copies."""
        self._job: JobRow | None = None
        self._handle: JobHandle | None = None

    def result(self, mine: JobRow | None) -> StageResult:
        for _ in range(_REJOINS):
            self._job = mine or choose_job(self._tools, self._session, self._task, self._key)
            self._session.at("job:chosen")
            status = self._run(self._job)
            if status.state is JobState.SUCCEEDED:
                try:
                    return self._keep(self._job, status)
                except NotFoundError:
                    status = JobStatus(state=JobState.NOT_FOUND)
                except InputChangedError:
                    if not self._may_be_the_owner():
                        raise
                    mine = None
                    continue
            if status.state is JobState.NOT_FOUND:
                # Another driver that waited for the same job may have written down how it ended, and tidied up.
                if (found := self._planner.lookup(self._key)) is not None:
                    return found
                status = self._as_written(self._job, status)
            if not self._taken_away(status, left=mine is not None):
                self._fail(self._job, status)
            self._give_up(self._job, status)
            mine = None
        raise StageError(f"stage {self._task.name}: its job was taken away {_REJOINS} times by other drivers")

    def tidy(self) -> None:
        """Remove the job's traces from the site; what cannot be removed now is found by `shipway runs --reap`."""
        if self._handle is not None:
            try:
                self._backend.remove(self._handle)
            except ShipwayError as error:
                self._session.note("not removed", job=str(self._handle), error=error.message)

    def _may_be_the_owner(self) -> bool:
        """
        Whether not the job but somebody who works on the project may have changed an input that was linked to the project's own copy.

        Then the job runs once more, on shared copies that only a job can reach.
        """
        mounts = self._wanted.resolved.mounts
        if not self._own_copies or mounts == self._planner.inputs.with_origins(self._task.stage, mounts):
            return False
        self._own_copies = False
        text = f"{self._task.name}: an input changed in the project while the job ran; it runs again on a copy"
        self._session.note("note", text=text)
        return True

    def _run(self, job: JobRow) -> JobStatus:
        session, tools = self._session, self._tools
        mounts = self._wanted.resolved.mounts
        if self._own_copies:
            mounts = self._planner.inputs.with_origins(self._task.stage, mounts)
        spec = job_spec(tools, session, self._task, job, mounts)
        handle = self._handle = retrying(lambda: self._backend.submit(spec), tools.clock, stop=session.stop)
        session.at("job:submitted")
        session.save_job(msgspec.structs.replace(job, handle=str(handle), state=JobState.RUNNING))
        session.note("job", stage=self._task.name, job=job.id, handle=str(handle), site=job.site)
        session.at("job:recorded")
        status = self._watch.wait(self._backend, handle, session.stop.is_set)
        if status is None:
            status = self._stopped(job, handle)
        session.at("job:ended")
        return status

    def _stopped(self, job: JobRow, handle: JobHandle) -> JobStatus:
        """The run has to stop: cancel the job if it is this run's own, and see it end."""
        _ = self._session.lease  # a driver that lost its run leaves the jobs to the one that has it
        if not self._is_ours(job):
            raise StageFailedError(f"stage {self._task.name}: cancelled while waiting for a job of run {job.run}")
        self._backend.cancel(handle)
        deadline = self._tools.clock.now() + _CANCEL_PATIENCE
        status = self._watch.wait(self._backend, handle, lambda: self._tools.clock.now() > deadline)
        if status is None:
            raise UnavailableError(f"stage {self._task.name}: job {handle} was told to stop and has not yet")
        return status

    def _keep(self, job: JobRow, status: JobStatus) -> StageResult:
        session, tools, handle = self._session, self._tools, self._handle
        assert handle is not None
        try:
            outputs = retrying(lambda: self._backend.collect(handle, tools.store), tools.clock, stop=session.stop)
        except StageError as error:
            if self._backend.status([handle])[handle].state is JobState.NOT_FOUND:
                raise NotFoundError(f"job {handle} was taken away while it was collected") from error
            self._keep_logs(job, handle)
            self._end(job, JobState.FAILED, status, error.message)
            self.tidy()
            raise
        session.at("job:collected")
        result = StageResult(
            key=self._key,
            stage=self._task.stage.name,
            parts=self._wanted.parts,
            outputs=outputs,
            logs=self._keep_logs(job, handle),
            run=session.run.id,
            job=job.id,
            started=status.started or job.created,
            ended=status.ended or tools.clock.now(),
        )
        session.confirm()  # if another driver has taken over, the result is theirs to record
        # A result that stands without its files, which garbage collection or a repair took, is none any more.
        gone = tools.store.result(self._key) is not None and self._planner.lookup(self._key) is None
        standing = tools.store.record(self._key, msgspec.json.encode(result), replace=self._task.force or gone)
        session.at("result:stored")
        self._end(job, JobState.SUCCEEDED, status, None)
        return msgspec.json.decode(standing, type=StageResult)

    def _fail(self, job: JobRow, status: JobStatus) -> None:
        assert self._handle is not None
        if status.state is JobState.NOT_FOUND:
            self._end(job, JobState.FAILED, status, "the site does not know the job any more")
            raise StageFailedError(f"stage {self._task.name}: the site does not know job {self._handle} any more")
        self._keep_logs(job, self._handle)
        self._end(job, status.state, status, status.reason)
        self.tidy()
        raise StageFailedError(f"stage {self._task.name} {in_words(status)}", hint=self._hint(status))

    def _taken_away(self, status: JobStatus, *, left: bool) -> bool:
        """
        Whether the run that made the job cancelled it or removed it under us, who only waited for it.

        `left`: an earlier driver of this run made it, and may have been told to stop before it died.
        """
        if self._job is None or self._session.stop.is_set():
            return False
        if self._job.run == self._session.run.id:
            return left and status.state is JobState.CANCELLED
        return status.state in (JobState.CANCELLED, JobState.NOT_FOUND)

    def _is_ours(self, job: JobRow) -> bool:
        """Whether it is for us to end: this run's own, or one whose run has ended, which nobody else will."""
        return job.run == self._session.run.id or self._tools.journal.get(job.run).state.terminal

    def _as_written(self, job: JobRow, status: JobStatus) -> JobStatus:
        """How a job that is gone failed, if another driver has written that down."""
        row = next((row for row in self._tools.journal.jobs(key=self._key) if row.id == job.id), job)
        if row.state is not JobState.FAILED:
            return status
        return JobStatus(state=row.state, exit_code=row.exit_code, reason=row.reason, ended=row.ended)

    def _give_up(self, job: JobRow, status: JobStatus) -> None:
        """Write down the end of a job that was taken away, which its driver may not have lived to do; else it would be chosen again."""
        self._end(job, JobState.CANCELLED, status, "taken away by the run that made it")
        if self._is_ours(job):
            self.tidy()

    def _end(self, job: JobRow, state: JobState, status: JobStatus, reason: str | None) -> None:
        ended = status.ended or self._tools.clock.now()
        self._session.save_job(
            msgspec.structs.replace(
                job,
                handle=str(self._handle),
                state=state,
                exit_code=status.exit_code,
                reason=reason,
                ended=ended,
            )
        )

    def _keep_logs(self, job: JobRow, handle: JobHandle) -> Digest | None:
        kept = bytearray()
        try:
            for line in self._backend.logs(handle):
                kept += line
                if len(kept) > 2 * _LOG_LIMIT:
                    del kept[:-_LOG_LIMIT]
        except NotFoundError:
            return None
        digest = self._tools.store.put_bytes(bytes(kept[-_LOG_LIMIT:]))
        self._session.note("logs", stage=self._task.name, job=job.id, digest=digest)
        if job.run != self._session.run.id:  # its own driver may come too late to read them
            self._tools.journal.note(job.run, "logs", {"stage": job.stage, "job": job.id, "digest": digest})
        return digest

    def _hint(self, status: JobStatus) -> str:
        said = f"see what it printed: shipway logs {self._session.run.id} {self._task.name}"
        if status.state is JobState.FAILED and (absent := self._planner.inputs.named_but_absent(self._task.stage)):
            return f"{', '.join(absent)} stands in the command but not in the stage's inputs; {said}"
        return said
