"""Runs: begin, take up, stop, and read what became of them."""

import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

from shipway.app.opened import Opened
from shipway.app.origin import code, code_of
from shipway.app.owner import is_dead, this_process
from shipway.errors import ConflictError, NotFoundError, ShipwayError, UsageError
from shipway.pipeline.engine import Engine, open_run, outputs_of
from shipway.pipeline.graph import Selection
from shipway.pipeline.place import Placer, place
from shipway.pipeline.plan import Plan
from shipway.pipeline.retry import Clock
from shipway.pipeline.session import CANCEL, Session, take
from shipway.pipeline.tools import Tools
from shipway.specs.jobs import JobHandle, JobState
from shipway.specs.runs import Event, Run, RunState, StageRow, StageState
from shipway.specs.trees import Digest, digest_of

if TYPE_CHECKING:
    from shipway.app.tracked import Tracked

_CRASH = "SHIPWAY_CRASH_AT"
"""For the chaos suite: the name of the crash point at which this process kills itself."""


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What a run was asked to do: enough for any driver to go on with it."""

    verb: str = "run"
    selection: Selection = Selection()
    overrides: tuple[str, ...] = ()
    jobs: int = 2
    endpoints: tuple[str, ...] | None = None
    """Where to ship to; None: every endpoint of the project."""
    code: str | None = None
    """The code that the run began with, taken down if anything is to be made or shipped; whoever goes on with it may find another commit."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """How a run ended."""

    run: Run
    stages: tuple[StageRow, ...]
    steps: Mapping[str, object] = {}


Observer = Callable[[Event], None]


def plan(opened: Opened, selection: Selection) -> Plan:
    return opened.planner.plan(selection)


def run(opened: Opened, request: Request, observer: Observer) -> Report:
    """
    Bring the selected stages to their results; a run of the same plan whose driver died is taken up.

    Raises the error that ended the run, after the journal has it.
    """
    planned = opened.planner.plan(request.selection)
    if request.verb == "ship":
        from shipway.app.shipping import refuse_what_cannot_ship

        refuse_what_cannot_ship(opened, planned, request.endpoints)
    fresh = _new_run(opened, planned, request)
    with open_run(opened.journal, fresh, this_process(), at=crash_point, observer=observer) as session:
        drive(opened, session, planned, request)
    return report(opened, session.run.id)


def resume(opened: Opened, run_id: str, observer: Observer) -> Report:
    """Take up a run whose driver died. Raises ConflictError while it lives or if the project is no longer what it was."""
    left = _not_ended(opened, run_id)
    request = request_of(left)
    resumed = Opened(opened.root, request.overrides)
    planned = resumed.planner.plan(request.selection)
    if _asked(resumed, planned, request) != left.plan:
        raise ConflictError(
            f"the project has changed since run {run_id} began",
            hint=f"`shipway run` begins a new run with the files as they are; `shipway cancel {run_id}` ends the old one",
        )
    lease = take(resumed.journal, run_id, this_process().name, dead=is_dead)
    with Session(resumed.journal, left, lease, at=crash_point, observer=observer) as session:
        _not_ended(resumed, run_id)  # its driver may have come to the end while we planned
        drive(resumed, session, planned, request)
    return report(resumed, run_id)


def _not_ended(opened: Opened, run_id: str) -> Run:
    found = opened.journal.get(run_id)
    if found.state.terminal:
        raise UsageError(f"run {run_id} has ended: {found.state}", hint="`shipway run` begins a new one")
    return found


def drive(opened: Opened, session: Session, planned: Plan, request: Request) -> None:
    """Make the model and, for `ship`, deliver it; whatever happens, the journal and the tracker hear how it ended."""
    from shipway.app.tracked import Tracked

    # If an earlier driver has made all there was to make, the tracker still has to hear of the end.
    something = not planned.all_hit or bool(opened.journal.stages(session.run.id))
    tracked = Tracked(opened, session, active=opened.tracked and something)
    session.observe(tracked.saw)
    try:
        if something:
            tracked.begin(code_of(opened, session.run))
        engine = Engine(opened.planner, _tools(opened, tracked), jobs=request.jobs)
        results = engine.make(session, planned, tracked.result)
        placer = Placer(opened.root, opened.home, opened.store, opened.views, opened.scanner)
        if moved := place(placer, outputs_of(results.values())):
            session.note("moved aside", paths=[*moved], to=".shipway/replaced/")
        if request.verb == "ship":
            from shipway.app.shipping import deliver

            deliver(opened, session, engine, results, tracked)
        if not session.run.state.terminal:
            session.finish(RunState.SUCCEEDED)
    except BaseException as error:
        _write_end(session, error)
        raise
    finally:
        opened.planner.inputs.save()
        if session.lost is None and session.run.state.terminal:
            tracked.end(session.run.state)


def cancel(opened: Opened, run_id: str) -> Run:
    """Ask a run's driver to stop, or stop what a dead driver left. An ended run is left as it is."""
    left = opened.journal.get(run_id)
    if left.state.terminal:
        return left
    try:
        return _end_what_is_left(opened, left)
    except ConflictError:
        opened.journal.note(run_id, CANCEL, {})
        return left


def reap(opened: Opened) -> list[Run]:
    """End every run whose driver is gone, and every job that a run left behind, however it ended. Returns those runs."""
    ended = []
    for run in opened.journal.list(project=opened.project.name, limit=1000):
        if driver_is_gone(opened, run) or (run.state.terminal and _has_unfinished_jobs(opened, run)):
            with suppress(ConflictError):  # somebody has just taken it up
                ended.append(_end_what_is_left(opened, run))
    return ended


def _end_what_is_left(opened: Opened, run: Run) -> Run:
    """Raises ConflictError while a driver lives."""
    lease = take(opened.journal, run.id, this_process().name, dead=is_dead)
    with Session(opened.journal, run, lease, at=crash_point, observer=_nobody) as session:
        _stop_stages(opened, session)
        return session.finish(RunState.CANCELLED, "cancelled after its driver had died")


def _has_unfinished_jobs(opened: Opened, run: Run) -> bool:
    return any(job.run == run.id and not job.state.terminal for job in opened.journal.jobs(run=run.id))


def driver_is_gone(opened: Opened, run: Run) -> bool:
    """Whether a run that has not ended has nobody who drives it."""
    holder = opened.journal.holder(f"run/{run.id}")
    return not run.state.terminal and (holder is None or is_dead(holder.owner))


def report(opened: Opened, run_id: str) -> Report:
    journal = opened.journal
    return Report(run=journal.get(run_id), stages=tuple(journal.stages(run_id)), steps=journal.steps(run_id))


def find_run(opened: Opened, text: str | None) -> Run:
    """The run with that id or a unique beginning of it; None: the newest. Raises NotFoundError, UsageError."""
    runs = opened.journal.list(project=opened.project.name, limit=1000)
    if not runs:
        raise NotFoundError("there is no run yet", hint="`shipway run` begins one")
    if text is None:
        return runs[0]
    found = [run for run in runs if run.id == text] or [run for run in runs if run.id.startswith(text)]
    if not found:
        raise NotFoundError(f"there is no run {text!r}", hint="`shipway runs` lists them")
    if len(found) > 1:
        raise UsageError(f"{text!r} is the beginning of several runs: {', '.join(run.id for run in found[:5])}")
    return found[0]


def newest_left(opened: Opened) -> Run:
    """The newest run without a driver. Raises NotFoundError."""
    for run in opened.journal.list(project=opened.project.name, states=[RunState.RUNNING], limit=1000):
        if driver_is_gone(opened, run):
            return run
    raise NotFoundError("no run was left by its driver", hint="`shipway runs` lists all")


def logs(opened: Opened, run: Run, stage: str, *, follow: bool) -> Iterator[bytes]:
    """What a stage of a run printed: from its job while that is there, else as it was kept. Raises NotFoundError."""
    row = next((row for row in opened.journal.stages(run.id) if row.name == stage), None)
    if row is None:
        raise NotFoundError(f"run {run.id} has no stage {stage!r}")
    live = [job for job in opened.journal.jobs(run=run.id) if job.stage == stage and not job.state.terminal]
    for job in live:
        if job.handle is not None:
            try:
                yield from opened.backend(job.site).logs(JobHandle.parse(job.handle), follow=follow)
                return
            except NotFoundError:
                break  # it ended just now, and its output has been kept
    kept = _kept_logs(opened, run, row)
    if kept is None:
        raise _no_logs(opened, run, row)
    with opened.store.open(kept) as stream:
        yield from stream


def _kept_logs(opened: Opened, run: Run, row: StageRow) -> Digest | None:
    noted = [
        event.data["digest"]
        for event in opened.journal.events(run.id)
        if event.kind == "logs" and event.data["stage"] == row.name
    ]
    if noted:
        return Digest(str(noted[-1]))
    result = None if row.key is None else opened.planner.lookup(row.key)
    return None if result is None else result.logs


def _no_logs(opened: Opened, run: Run, row: StageRow) -> NotFoundError:
    what = f"stage {row.name} of run {run.id}"
    if row.state is StageState.SKIPPED:
        graph = opened.planner.graph
        needed = graph.upstream([row.name]) if row.name in graph.stages else frozenset[str]()
        failed = [other.name for other in opened.journal.stages(run.id) if other.state is StageState.FAILED]
        if blamed := [name for name in failed if name in needed] or failed:
            hint = f"see what that one printed: shipway logs {run.id} {blamed[0]}"
            return NotFoundError(f"{what} was skipped, since stage {blamed[0]} failed", hint=hint)
        return NotFoundError(f"{what} was skipped, since the run ended before it could begin")
    if row.state is StageState.CACHED:
        hint = f"`shipway run --force {row.name}` makes the result again"
        return NotFoundError(
            f"{what} was cached: its result was there already, but what it printed then is not", hint=hint
        )
    if row.state is StageState.WAITING:
        return NotFoundError(f"{what} has not begun yet")
    return NotFoundError(f"{what} is {row.state}, and nothing is kept of what it printed")


def _tools(opened: Opened, tracked: "Tracked") -> Tools:
    return Tools(
        store=opened.store,
        journal=opened.journal,
        environments=opened.environments,
        backend=opened.backend,
        secret=opened.secret,
        tracking=tracked.environment,
        tracking_secrets=tracked.secrets,
        clock=Clock(now=time.time, sleep=time.sleep),
    )


def _new_run(opened: Opened, planned: Plan, request: Request) -> Run:
    now = time.time()
    began_with = code(opened) if request.verb == "ship" or not planned.all_hit else None
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime(now))
    return Run(
        id=f"{stamp}-{os.urandom(2).hex()}",
        project=opened.project.name,
        plan=_asked(opened, planned, request),
        request=msgspec.to_builtins(msgspec.structs.replace(request, code=began_with)),
        created=now,
    )


def _asked(opened: Opened, planned: Plan, request: Request) -> Digest:
    """What names a run's plan: the stages and files, and whether, on which terms and where to ship."""
    project = opened.project
    terms = (project.model, project.gate, project.endpoints) if request.verb == "ship" else ()
    asked = (planned.digest, request.verb, request.endpoints, terms)
    return digest_of(msgspec.json.encode(asked, order="deterministic"))


def request_of(run: Run) -> Request:
    return msgspec.convert(run.request, Request)


def _write_end(session: Session, error: BaseException) -> None:
    """Write down how the run ended; a run that another driver has taken over is theirs to end."""
    if session.lost is not None or session.run.state.terminal:
        return
    if isinstance(error, KeyboardInterrupt) or session.stop.is_set():
        session.finish(RunState.CANCELLED, "cancelled")
    else:
        session.finish(RunState.FAILED, error.message if isinstance(error, ShipwayError) else repr(error))


def _stop_stages(opened: Opened, session: Session) -> None:
    """End what a dead driver left of its run, and write that down."""
    run, now = session.run.id, time.time()
    for job in opened.journal.jobs(run=run):
        if job.run == run and not job.state.terminal:
            backend = opened.backend(job.site)
            # A driver that died right after submitting had no time to write the handle down; by its id the job is known as well.
            backend.remove(JobHandle(backend.name, job.id) if job.handle is None else JobHandle.parse(job.handle))
            session.save_job(msgspec.structs.replace(job, state=JobState.CANCELLED, ended=now))
    for row in opened.journal.stages(run):
        if not row.state.terminal:
            never = row.state is StageState.WAITING
            state, ended = (StageState.SKIPPED, None) if never else (StageState.CANCELLED, now)
            session.save_stage(msgspec.structs.replace(row, state=state, ended=ended))


def _nobody(event: Event) -> None:
    """Nobody looks on."""


def crash_point(name: str) -> None:
    """Die here if the chaos suite says so; in a driver that nobody tests this is one look into the environment."""
    if os.environ.get(_CRASH) == name:
        os.kill(os.getpid(), signal.SIGKILL)
