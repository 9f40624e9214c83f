"""Brings a plan to its end: stages side by side where the graph allows, each in a thread of its own."""

import queue
import threading
from collections.abc import Callable, Container, Iterable, Mapping
from typing import NamedTuple

import msgspec

from shipway.errors import ConflictError, LeaseLostError, ShipwayError
from shipway.journal.base import Journal
from shipway.pipeline.plan import Plan, Planned, Planner
from shipway.pipeline.session import Session, take
from shipway.pipeline.stagework import StageWork
from shipway.pipeline.tools import Task, Tools
from shipway.specs.jobs import JobHandle
from shipway.specs.runs import Event, Run, RunState, StageRow, StageState
from shipway.specs.stages import Hit, StageResult
from shipway.specs.trees import Digest

PINNED = "pinned"
"""The event that names the trees which a run will still read."""


_GLANCE = 0.2
"""Seconds after which a Ctrl-C is seen at the latest."""


class Owner(NamedTuple):
    """Who drives: the text that stands in the lease, and how to tell that another owner's process is gone for sure."""

    name: str
    dead: Callable[[str], bool]


class Engine:
    """Makes the model: `make` for a whole plan, `bring` for one more task in the same run."""

    def __init__(self, planner: Planner, tools: Tools, *, jobs: int) -> None:
        self.planner = planner
        self.jobs = jobs
        self._tools = tools
        self.work = StageWork(planner, tools)

    def make(
        self, session: Session, plan: Plan, finished: Callable[[str, StageResult], None]
    ) -> Mapping[str, StageResult]:
        """
        Return every stage's result by its name; `finished` is told of each as it comes.

        Raises the first stage's error after the stages that already ran have ended and the rest is marked as skipped; KeyboardInterrupt
        after every job of this run has been cancelled, or at once at the second one.
        """
        unfinished = self._sweep(session)
        plan = msgspec.structs.replace(plan, stages=tuple(_reopened(planned, unfinished) for planned in plan.stages))
        self._pin(session, plan)
        return _Course(self, session, finished).all(plan)

    def bring(self, session: Session, task: Task) -> StageResult:
        """Bring one more task to its result in the same run; it fails and is interrupted as a stage of a plan is."""
        return _Course(self, session, lambda name, result: None).one(task)

    def _pin(self, session: Session, plan: Plan) -> None:
        """Store what the project holds now, so that no edit reaches a run that has begun, and have it kept until the run ends."""
        stages = [self.planner.graph.stages[planned.stage] for planned in plan.stages if planned.state is not Hit.HIT]
        if pinned := [tree for stage in stages for tree in self.planner.inputs.snapshot(stage)]:
            session.note(PINNED, trees=[*pinned])

    def _sweep(self, session: Session) -> frozenset[Digest]:
        """
        Remove the jobs that an earlier driver of this run had written down as ended and not yet removed.

        Returns the keys of those that it had not got to the end of: they are gone through again, even if their result is stored by now.
        """
        mine = [job for job in self._tools.journal.jobs(run=session.run.id) if job.run == session.run.id]
        for job in mine:
            if job.state.terminal and job.handle is not None:
                self._tools.backend(job.site).remove(JobHandle.parse(job.handle))
        return frozenset(job.key for job in mine if not job.state.terminal)


def _reopened(planned: Planned, unfinished: frozenset[Digest]) -> Planned:
    if planned.key not in unfinished:
        return planned
    return msgspec.structs.replace(planned, state=Hit.MISS, result=None)


class _Course:
    """One call of `make` or `bring`: what waits, what runs, what is done."""

    def __init__(self, engine: Engine, session: Session, finished: Callable[[str, StageResult], None]) -> None:
        self._graph = engine.planner.graph
        self._work = engine.work
        self._jobs = engine.jobs
        self._finished = finished
        self._session = session
        self._results: dict[str, StageResult] = {}
        self._ended: queue.SimpleQueue[tuple[str, StageResult | BaseException]] = queue.SimpleQueue()
        self._running: set[str] = set()
        self._error: BaseException | None = None

    def all(self, plan: Plan) -> Mapping[str, StageResult]:
        waiting = {planned.stage: planned for planned in plan.stages}
        for planned in plan.stages:
            if planned.result is not None:
                self._cached(waiting.pop(planned.stage), planned.result)
        for name in waiting:
            self._session.expect(name)
        try:
            while waiting or self._running:
                self._start_ready(waiting, plan.selection.force)
                if not self._running:
                    break
                self._take_in(*self._next())
        except KeyboardInterrupt as interrupt:
            self._stop(interrupt)
        self._skip(waiting)
        if self._error is not None:
            raise self._error
        return self._results

    def one(self, task: Task) -> StageResult:
        try:
            self._start(task)
            self._take_in(*self._next())
        except KeyboardInterrupt as interrupt:
            self._stop(interrupt)
        if self._error is not None:
            raise self._error
        return self._results[task.name]

    def _next(self) -> tuple[str, StageResult | BaseException]:
        """Wait for a stage to end; in pieces, because a signal that comes just before a wait without an end would not be seen."""
        while True:
            try:
                return self._ended.get(timeout=_GLANCE)
            except queue.Empty:
                continue

    def _stop(self, interrupt: KeyboardInterrupt) -> None:
        """Let every job that runs be cancelled; a second interrupt does not wait for that."""
        self._session.stop.set()
        self._error = interrupt
        while self._running:
            self._take_in(*self._next())

    def _start_ready(self, waiting: dict[str, Planned], force: Container[str]) -> None:
        if self._error is not None or self._session.stop.is_set():
            self._error = self._error or self._session.lost or KeyboardInterrupt()
            return
        ready = [name for name in waiting if self._graph.needs[name] <= self._results.keys()]
        for name in ready[: self._jobs - len(self._running)]:
            del waiting[name]
            outputs = outputs_of(self._results.values())
            self._start(Task(name=name, stage=self._graph.stages[name], outputs=outputs, force=name in force))

    def _start(self, task: Task) -> None:
        self._running.add(task.name)
        threading.Thread(target=self._bring, args=(task,), name=f"stage {task.name}", daemon=True).start()

    def _bring(self, task: Task) -> None:
        try:
            result = self._work.bring(self._session, task)
            self._finished(task.name, result)
            self._ended.put((task.name, result))
        except BaseException as error:  # the edge of a thread: the main thread raises it
            self._ended.put((task.name, error))

    def _take_in(self, name: str, ended: StageResult | BaseException) -> None:
        self._running.discard(name)
        if isinstance(ended, StageResult):
            self._results[name] = ended
            return
        if isinstance(ended, LeaseLostError):
            self._session.lose(ended)
        cancelled = self._session.stop.is_set()
        self._error = self._error or self._session.lost or (KeyboardInterrupt() if cancelled else ended)
        if self._session.lost is None:
            state = StageState.CANCELLED if cancelled else StageState.FAILED
            reason = ended.message if isinstance(ended, ShipwayError) else repr(ended)
            row, now = self._session.stage(name), self._work.tools.clock.now()
            self._session.save_stage(msgspec.structs.replace(row, state=state, reason=reason, ended=now))

    def _cached(self, planned: Planned, result: StageResult) -> None:
        self._results[planned.stage] = result
        row = StageRow(
            run=self._session.run.id, name=planned.stage, state=StageState.CACHED, key=planned.key, job=result.job
        )
        self._session.save_stage(row)
        self._finished(planned.stage, result)

    def _skip(self, waiting: Mapping[str, Planned]) -> None:
        if self._session.lost is None:
            for name in waiting:
                row = self._session.stage(name)
                self._session.save_stage(msgspec.structs.replace(row, state=StageState.SKIPPED))


def open_run(
    journal: Journal, run: Run, owner: Owner, *, at: Callable[[str], None], observer: Callable[[Event], None]
) -> Session:
    """Take up the newest run of the same plan whose driver is gone, or begin `run`. The session holds the lease."""
    for left in journal.list(project=run.project, states=[RunState.RUNNING]):
        if left.plan == run.plan:
            try:
                lease = take(journal, left.id, owner.name, dead=owner.dead)
            except ConflictError:
                continue  # its driver lives; both may run, jobs with one key are shared
            if not journal.get(left.id).state.terminal:
                return Session(journal, left, lease, at=at, observer=observer)
            journal.release(lease)  # its driver came to the end just now
    # Before the run can be seen, or another driver may take it up.
    lease = take(journal, run.id, owner.name, dead=owner.dead)
    journal.create(run)
    at("run:created")
    return Session(journal, run, lease, at=at, observer=observer)


def outputs_of(results: Iterable[StageResult]) -> Mapping[str, Digest]:
    """All outputs of these results, by path; no two stages write one path."""
    return {path: tree for result in results for path, tree in result.outputs.items()}
