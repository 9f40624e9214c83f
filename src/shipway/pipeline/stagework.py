"""One stage of one run, from its inputs to its result; every step is journaled before the next, so any driver can go on from any point."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import msgspec

from shipway.backends.base import Backend, Capability
from shipway.errors import (
    InvalidJobError,
    NotFoundError,
    ShipwayError,
    StageError,
    StageFailedError,
    UnavailableError,
)
from shipway.images.base import EnvironmentBuilder
from shipway.journal.base import Journal
from shipway.pipeline.inputs import Resolved
from shipway.pipeline.keys import key_of
from shipway.pipeline.plan import Planner
from shipway.pipeline.retry import Clock, retrying
from shipway.pipeline.session import Session
from shipway.pipeline.watch import Watch
from shipway.specs.jobs import JobHandle, JobSpec, JobState, JobStatus
from shipway.specs.runs import JobRow, StageRow, StageState
from shipway.specs.stages import Environment, KeyParts, Stage, StageResult
from shipway.specs.trees import Digest
from shipway.store.base import Store

_KEY_DIGITS = 40
_CANCEL_PATIENCE = 20.0
_REJOINS = 3
_LOG_LIMIT = 64 * 1024 * 1024
"""Bytes of a job's output that are kept; of more, the last."""


class Tools(NamedTuple):
    """What the engine works with; `app` puts it together, tests put fakes in."""

    store: Store
    journal: Journal
    environments: EnvironmentBuilder
    backend: Callable[[str], Backend]
    """The backend of a site by the site's name."""
    secret: Callable[[str], str]
    """The value of a secret by its name. Raises ConfigError if it is not set."""
    tracking: Callable[[Session, Stage], Mapping[str, str]]
    """Variables by which a stage's own logging reaches the tracker."""
    tracking_secrets: Callable[[Stage], Mapping[str, str]]
    """Those of them that must not be seen."""
    clock: Clock


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """A stage to be brought to its result under a name of its own in the run (`evaluate@champion` is evaluate with another model)."""

    name: str
    stage: Stage
    outputs: Mapping[str, Digest]
    """The trees of other stages' outputs, by path."""
    force: bool = False


class StageWork:
    """Brings tasks to their results; used by several threads at once."""

    def __init__(self, planner: Planner, tools: Tools) -> None:
        self.planner = planner
        self.tools = tools
        self.watch = Watch(tools.clock)
        self._announced: set[Environment] = set()

    def bring(self, session: Session, task: Task) -> StageResult:
        """
        Return the task's result: looked up, or made by a job that this or an earlier driver submitted.

        Raises StageError for a failure of the stage itself, and whatever keeps us from asking.
        """
        tools, stage = self.tools, task.stage
        backend = tools.backend(stage.site)
        refuse_what_lacks(stage, backend)
        resolved = self.planner.inputs.resolve(stage, task.outputs)
        if resolved is None:
            raise StageError(f"stage {stage.name} reads outputs that are not there yet")
        self._announce(session, stage)
        parts = self.planner.parts(stage, resolved, tools.environments.resolve(stage.environment))
        key = key_of(parts)
        row = session.save_stage(
            StageRow(run=session.run.id, name=task.name, state=StageState.RUNNING, key=key, started=tools.clock.now())
        )
        mine, made_already = self._earlier(session, key)
        found = None if mine or (task.force and not made_already) else self.planner.lookup(key)
        if found is not None:
            session.save_stage(
                msgspec.structs.replace(row, state=StageState.CACHED, job=found.job, ended=tools.clock.now())
            )
            return found
        made = _Making(self, session, task, _Wanted(key, parts, resolved, backend))
        result = made.result(mine)
        state = StageState.SUCCEEDED
        session.save_stage(msgspec.structs.replace(row, state=state, job=result.job, ended=tools.clock.now()))
        session.at("stage:saved")
        made.tidy()
        session.at("job:removed")
        return result

    def _announce(self, session: Session, stage: Stage) -> None:
        """Tell whoever looks on why nothing seems to happen: an environment takes its time."""
        environment = stage.environment
        if environment not in self._announced and not self.tools.environments.ready(environment):
            self._announced.add(environment)
            session.note("note", text=f"preparing the environment of {environment.requirements}")

    def _earlier(self, session: Session, key: Digest) -> tuple[JobRow | None, bool]:
        """The job that an earlier driver of this very run left for this key, and whether one has given its result already."""
        jobs = [job for job in self.tools.journal.jobs(key=key) if job.run == session.run.id]
        left = next((job for job in jobs if not job.state.terminal), None)
        return left, any(job.state is JobState.SUCCEEDED for job in jobs)


class _Wanted(NamedTuple):
    key: Digest
    parts: KeyParts
    resolved: Resolved
    backend: Backend


class _Making:
    """One key whose result has to be made: choose the job, submit it, wait, collect, record."""

    def __init__(self, work: StageWork, session: Session, task: Task, wanted: _Wanted) -> None:
        self._work = work
        self._tools = work.tools
        self._session = session
        self._task = task
        self._wanted = wanted
        self._key = wanted.key
        self._backend = wanted.backend
        self._job: JobRow | None = None
        self._handle: JobHandle | None = None

    def result(self, mine: JobRow | None) -> StageResult:
        for _ in range(_REJOINS):
            self._job = mine or self._choose()
            self._session.at("job:chosen")
            status = self._run(self._job)
            if status.state is JobState.SUCCEEDED:
                try:
                    return self._keep(self._job, status)
                except NotFoundError:
                    status = JobStatus(state=JobState.NOT_FOUND)
            if status.state is JobState.NOT_FOUND:
                # Another driver that waited for the same job may have written down how it ended, and tidied up.
                if (found := self._work.planner.lookup(self._key)) is not None:
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

    def _choose(self) -> JobRow:
        """A live job for this key, whoever made it, or the next attempt. Two drivers that choose at once choose the same."""
        known = self._tools.journal.jobs(key=self._key)
        live = [job for job in known if not job.state.terminal]
        if live:
            return live[-1]
        attempt = 1 + max((job.attempt for job in known), default=0)
        return self._session.save_job(
            JobRow(
                id=f"{self._key[:_KEY_DIGITS]}-{attempt}",
                key=self._key,
                attempt=attempt,
                run=self._session.run.id,
                stage=self._task.name,
                site=self._task.stage.site,
                created=self._tools.clock.now(),
            )
        )

    def _run(self, job: JobRow) -> JobStatus:
        session, tools = self._session, self._tools
        spec = self._spec(job)
        handle = self._handle = retrying(lambda: self._backend.submit(spec), tools.clock, stop=session.stop)
        session.at("job:submitted")
        session.save_job(msgspec.structs.replace(job, handle=str(handle), state=JobState.RUNNING))
        session.note("job", stage=self._task.name, job=job.id, handle=str(handle), site=job.site)
        session.at("job:recorded")
        status = self._work.watch.wait(self._backend, handle, session.stop.is_set)
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
        status = self._work.watch.wait(self._backend, handle, lambda: self._tools.clock.now() > deadline)
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
        session.lease  # noqa: B018 - raises if another driver has taken over: then the result is theirs to record
        standing = tools.store.record(self._key, msgspec.json.encode(result), replace=self._task.force)
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
        raise StageFailedError(f"stage {self._task.name} {_in_words(status)}", hint=self._hint(status))

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

    def _spec(self, job: JobRow) -> JobSpec:
        stage, tools = self._task.stage, self._tools
        prepared = tools.environments.build(stage.environment)
        command = ("/bin/sh", "-e", "-c", stage.command) if isinstance(stage.command, str) else stage.command
        return JobSpec(
            id=job.id,
            run=self._session.run.id,
            stage=self._task.name,
            command=command,
            env={**prepared.env, **tools.tracking(self._session, stage), **stage.env},
            secrets={**tools.tracking_secrets(stage), **{name: tools.secret(name) for name in stage.secrets}},
            inputs=self._work.planner.inputs.with_origins(stage, self._wanted.resolved.mounts),
            outputs=stage.all_outputs,
            resources=stage.resources,
            timeout=stage.timeout,
        )

    def _hint(self, status: JobStatus) -> str:
        said = f"see what it printed: shipway logs {self._session.run.id} {self._task.name}"
        if status.state is JobState.FAILED and (absent := self._planner_inputs_absent()):
            return f"{', '.join(absent)} stands in the command but not in the stage's inputs; {said}"
        return said

    def _planner_inputs_absent(self) -> tuple[str, ...]:
        return self._work.planner.inputs.named_but_absent(self._task.stage)


def refuse_what_lacks(stage: Stage, backend: Backend) -> None:
    """Raises InvalidJobError if the stage asks for a capability that its backend does not declare."""
    lacks = backend.capabilities
    if stage.timeout is not None and Capability.TIMEOUT not in lacks:
        raise InvalidJobError(f"stage {stage.name}: backend {backend.name} cannot enforce a time limit")


def _in_words(status: JobStatus) -> str:
    if status.state is JobState.CANCELLED:
        return "was cancelled"
    why = f": {status.reason}" if status.reason else ""
    code = f" with exit code {status.exit_code}" if status.exit_code is not None else ""
    return f"failed{code}{why}" if status.failure is None else f"failed ({status.failure}){code}{why}"
