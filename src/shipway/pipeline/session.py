"""A driver's hold on one run: the lease that it keeps alive, what it writes down, and when it must stop."""

import contextlib
import threading
from collections.abc import Callable
from datetime import timedelta
from types import TracebackType
from typing import Self

from shipway.errors import ConflictError, LeaseLostError, ShipwayError
from shipway.journal.base import Journal
from shipway.specs.runs import Event, JobRow, Lease, Run, RunState, StageRow, StageState
from shipway.specs.stages import JsonValue

LEASE = timedelta(seconds=60)
_HEARTBEAT = 10.0
_CANCEL_LOOK = 1.0

CANCEL = "cancel asked"
"""The event by which another process asks a run's driver to stop."""


class Session:
    """Use it as a context manager; leaving it gives the lease back, so that the next driver need not wait for its end."""

    def __init__(
        self, journal: Journal, run: Run, lease: Lease, *, at: Callable[[str], None], observer: Callable[[Event], None]
    ) -> None:
        self.run = run
        self.at = at
        """Called with the name of each crash point that is passed; tests die there."""
        self.stop = threading.Event()
        self.lost: LeaseLostError | None = None
        self._journal = journal
        self._lease = lease
        self._observers = [observer]
        self._seen = 0
        self._done = threading.Event()
        self._heart = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    @property
    def lease(self) -> Lease:
        """Raises LeaseLostError once another driver has taken the run over."""
        if self.lost is not None:
            raise self.lost
        return self._lease

    def confirm(self) -> None:
        """Ask the journal whether the run is still ours. Raises LeaseLostError."""
        self._lease = self._journal.renew(self.lease, LEASE)

    def go_on(self) -> None:
        """Raises KeyboardInterrupt if the run has been told to stop, LeaseLostError if it is no longer ours."""
        if self.stop.is_set():
            raise self.lost or KeyboardInterrupt

    def expect(self, stage: str) -> None:
        """Write down that a stage is part of the run; it is no event."""
        row = StageRow(run=self.run.id, name=stage, state=StageState.WAITING)
        self._journal.save_stage(self.lease, row)

    def __enter__(self) -> Self:
        earlier = self._journal.events(self.run.id)  # what was asked of an earlier driver ended with it
        self._seen = earlier[-1].seq if earlier else 0
        self._heart.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._heart.join()
        with contextlib.suppress(ShipwayError):  # the journal is away? then the lease ends by itself
            self._journal.release(self._lease)

    def lose(self, error: LeaseLostError) -> None:
        """Another driver has the run, or soon will: write nothing more."""
        self.lost = error
        self.stop.set()

    def observe(self, observer: Callable[[Event], None]) -> None:
        """Show all further events to one more."""
        self._observers.append(observer)

    def note(self, kind: str, /, **data: JsonValue) -> None:
        """Write an event down and show it to whoever looks on."""
        event = self._journal.note(self.run.id, kind, data)
        for observer in tuple(self._observers):
            try:
                observer(event)
            except OSError:  # its terminal or pipe is closed; the run goes on
                self._observers.remove(observer)

    def stage(self, name: str) -> StageRow:
        """The stage's row as it stands, or a new one."""
        rows = (row for row in self._journal.stages(self.run.id) if row.name == name)
        return next(rows, StageRow(run=self.run.id, name=name, state=StageState.WAITING))

    def save_stage(self, row: StageRow) -> StageRow:
        standing = self._journal.save_stage(self.lease, row)
        data: dict[str, JsonValue] = {"stage": row.name, "state": str(standing.state)}
        if standing.reason is not None:
            data["reason"] = standing.reason
        self.note("stage", **data)
        return standing

    def save_job(self, row: JobRow) -> JobRow:
        return self._journal.save_job(self.lease, row)

    def step(self, name: str, make: Callable[[], JsonValue]) -> JsonValue:
        """Return a delivery step's recorded result, or make and record it; what is recorded first stands."""
        done = self._journal.steps(self.run.id)
        if name in done:
            return done[name]
        self.go_on()
        value = make()
        self.at(f"{name}:made")
        standing = self._journal.record(self.lease, name, value)
        self.at(f"{name}:recorded")
        return standing

    def finish(self, state: RunState, error: str | None = None) -> Run:
        self.run = self._journal.finish(self.lease, state, error)
        ended: dict[str, JsonValue] = {"state": str(self.run.state)}
        if self.run.error is not None:
            ended["error"] = self.run.error
        self.note("run", **ended)
        return self.run

    def _beat(self) -> None:
        """Renew the lease, and look whether somebody asked the run to stop."""
        since_beat = 0.0
        while not self._done.wait(_CANCEL_LOOK):
            since_beat += _CANCEL_LOOK
            try:
                events = self._journal.events(self.run.id, after=self._seen)
                self._seen = events[-1].seq if events else self._seen
                if any(event.kind == CANCEL for event in events):
                    self.stop.set()
                if since_beat >= _HEARTBEAT:
                    self._lease = self._journal.renew(self._lease, LEASE)
                    since_beat = 0.0
            except LeaseLostError as error:
                self.lose(error)
                return
            except ShipwayError:
                # The journal may be away for a moment; the lease outlives several missed beats, and writes tell the rest.
                continue


def take(journal: Journal, run: str, owner: str, *, dead: Callable[[str], bool]) -> Lease:
    """
    Claim a run; the lease of an owner that is known to be dead does not have to run out first.

    Raises ConflictError while a live driver holds it.
    """
    name = f"run/{run}"
    holder = journal.holder(name)
    if holder is not None and dead(holder.owner):
        journal.release(holder)
    try:
        return journal.claim(name, owner, LEASE)
    except ConflictError as error:
        hint = "wait for it, or `shipway cancel` it"
        raise ConflictError(f"run {run} is being driven by another process ({error.message})", hint=hint) from error
