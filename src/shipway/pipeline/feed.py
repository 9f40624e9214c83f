"""
The feed: hands the journal's parcels to the tracker from a thread of its own, so that no training waits for a tracking server.

Rule: it never raises into the engine, and what it could not send stays in the journal for `shipway track --flush`.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Mapping

import msgspec

from shipway.errors import NotFoundError, ShipwayError, UnavailableError
from shipway.journal.base import Journal
from shipway.pipeline.parcels import START, hand_over
from shipway.specs.runs import Parcel
from shipway.specs.stages import JsonValue
from shipway.store.base import Store
from shipway.tracking.base import Tracker

TRACKED, AWAY, DROPPED = "tracked", "tracking away", "tracking dropped"
"""Kinds of events: the tracker's id of the run; the server did not answer; the tracker will never take this."""

POLL = 1.0
"""Seconds between two looks at the journal, if nobody pokes."""
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
"""Seconds to leave an unreachable server alone: doubled each time, up to the longest."""
GIVE_UP_AFTER = 3
"""Runs in a row that a flush may fail on before it takes the server for unreachable."""


class Flushed(msgspec.Struct, frozen=True, kw_only=True):
    """What a flush did: parcels sent (those dropped among them) and left, runs left alone because a driver has them, the last error."""

    sent: int
    left: int
    busy: int = 0
    error: str | None = None


class Feed:
    """
    One for each driver. `tracker` is called at the first need only; `note` writes an event of a run down, and may show it to somebody as well.

    The engine posts parcels (`pipeline.parcels`), calls `watch(run)` once there is time to import a tracker, and at the end `drain` and `close`.
    """

    def __init__(
        self,
        journal: Journal,
        tracker: Callable[[], Tracker],
        store: Store,
        *,
        note: Callable[[str, str, Mapping[str, JsonValue]], object] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._journal = journal
        self._store = store
        self._make = tracker
        self._tracker: Tracker | None = None
        self._note = note or journal.note
        self._clock = clock
        self._ids: dict[str, str] = {}
        self._watched: list[str] = []
        self._pause = 0.0
        self._not_before = 0.0
        self._asked = self._done = 0
        self._looked = clock()
        self._closing = False
        self._thread: threading.Thread | None = None
        self._change = threading.Condition()
        self._sending = threading.Lock()

    # What the engine calls

    def watch(self, run: str) -> None:
        """Send this run's parcels from now on, those to come as well."""
        with self._change:
            if run not in self._watched:
                self._watched.append(run)
            if self._thread is None and not self._closing:
                self._thread = threading.Thread(target=self._work, name="shipway-feed", daemon=True)
                self._thread.start()
        self.poke()

    def poke(self) -> None:
        """There may be something new; without it the feed looks every second."""
        with self._change:
            self._asked += 1
            self._change.notify_all()

    def environment(self, run: str, *, needs_id: bool) -> Mapping[str, str]:
        """Variables for a stage. `needs_id` waits for the tracker's run to be there; empty-handed if it cannot be reached."""
        tracked = self.ensure_started(run) if needs_id else self._ids.get(run)
        return self._the_tracker().environment(tracked)

    def ensure_started(self, run: str) -> str | None:
        """The tracker's id of the run, begun now if it must be; None if the tracker cannot be reached."""
        with self._sending:
            if run in self._ids or self._clock() < self._not_before:
                return self._ids.get(run)
            try:
                first = next((parcel for parcel in self._journal.parcels(run=run) if parcel.kind == START), None)
                if first is not None:
                    self._send(first)
                return self._id(run)
            except Exception as error:  # an edge: a run goes on without its tracker
                self._hold(run, error)
                return None

    def drain(self, timeout: float) -> int:
        """Send what can be sent within `timeout` seconds. Returns the number of parcels of the watched runs that are left."""
        if self._thread is not None and self._left():
            with self._change:
                self._asked += 1
                mine = self._asked
                self._not_before = 0.0  # the last chance for now, so do not wait for the pause to end
                self._change.notify_all()
                self._change.wait_for(lambda: self._done >= mine or self._closing, timeout)
        return self._left()

    def close(self, timeout: float = 5.0) -> None:
        """End the thread after the parcel at hand; one that hangs is left behind after `timeout` seconds, and dies with the process."""
        with self._change:
            self._closing = True
            self._change.notify_all()
        if self._thread is not None:
            self._thread.join(timeout)

    # What `shipway track --flush` calls

    def flush(self, report: Callable[[int, int], None] = lambda done, total: None) -> Flushed:
        """Send everything that is left of all runs, in the caller's thread; `report` is told how many of how many are done."""
        by_run: dict[str, list[Parcel]] = {}
        for parcel in self._journal.parcels():
            by_run.setdefault(parcel.run, []).append(parcel)
        total, sent, busy, failed = sum(map(len, by_run.values())), 0, 0, 0
        error: str | None = None
        for run, parcels in by_run.items():
            if failed >= GIVE_UP_AFTER:
                break
            if self._journal.holder(f"run/{run}") is not None:
                busy += 1  # its own driver sends them
                continue
            try:
                for parcel in parcels:
                    with self._sending:
                        self._send(parcel)
                    sent += 1
                    report(sent, total)
                failed = 0
            except UnavailableError as problem:
                error, failed = problem.message, failed + 1
        return Flushed(sent=sent, left=total - sent, busy=busy, error=error)

    # The thread

    def _work(self) -> None:
        while self._due():
            asked = self._asked
            for run in list(self._watched):
                self._send_run(run)
            with self._change:
                self._done, self._looked = asked, self._clock()
                self._change.notify_all()

    def _due(self) -> bool:
        """Sleep until there is something to do; False: it is over."""
        with self._change:
            while not self._closing:
                look = self._looked if self._asked > self._done else self._looked + POLL
                left = max(look, self._not_before) - self._clock()
                if left <= 0:
                    return True
                self._change.wait(left)
        return False

    def _send_run(self, run: str) -> None:
        try:
            for parcel in self._journal.parcels(run=run):
                if self._closing:
                    return
                with self._sending:
                    self._send(parcel)
        except Exception as error:  # the edge of the thread: the engine must not notice
            self._hold(run, error)

    # One parcel

    def _send(self, parcel: Parcel) -> None:
        """Hand one parcel over and take it off the list. Raises UnavailableError."""
        try:
            if parcel.kind == START:
                self._start(parcel)
            else:
                self._pass_on(parcel)
        except ShipwayError as error:
            if isinstance(error, UnavailableError):
                raise
            self._drop(parcel, error.message)
        self._journal.sent(parcel.seq)
        self._pause = self._not_before = 0.0

    def _start(self, parcel: Parcel) -> None:
        data = msgspec.convert(parcel.data, _Start)
        self._remember(parcel.run, self._the_tracker().start(parcel.run, name=data.name, tags=data.tags, at=data.at))

    def _pass_on(self, parcel: Parcel) -> None:
        tracker, tracked = self._the_tracker(), self._id(parcel.run)
        try:
            hand_over(tracker, self._store, tracked, parcel, lambda why: self._drop(parcel, why))
        except NotFoundError:
            # Someone deleted the tracker's run, or the project tracks elsewhere now.
            fresh = tracker.start(parcel.run, name=parcel.run, tags={})
            if fresh == tracked:
                raise
            self._remember(parcel.run, fresh, replaces=tracked)
            hand_over(tracker, self._store, fresh, parcel, lambda why: self._drop(parcel, why))

    def _id(self, run: str) -> str:
        """The tracker's id of a run: known, or read from the journal, or asked for."""
        if run not in self._ids:
            known = self._recorded(run)
            if known is None:
                self._remember(run, self._the_tracker().start(run, name=run, tags={}))
            else:
                self._ids[run] = known
        return self._ids[run]

    def _remember(self, run: str, tracked: str, *, replaces: str | None = None) -> None:
        """Write the id down. The first one stands for all drivers, unless it is replaced by name."""
        if replaces is not None or self._recorded(run) is None:
            self._note(run, TRACKED, {"id": tracked, "replaces": replaces})
        self._ids[run] = self._recorded(run) or tracked

    def _recorded(self, run: str) -> str | None:
        known: JsonValue = None
        for event in self._journal.events(run):
            if event.kind == TRACKED and event.data.get("replaces") == known:
                known = event.data["id"]
        return known if isinstance(known, str) else None

    def _the_tracker(self) -> Tracker:
        if self._tracker is None:
            self._tracker = self._make()
        return self._tracker

    # What went wrong

    def _drop(self, parcel: Parcel, why: str) -> None:
        self._note(parcel.run, DROPPED, {"kind": parcel.kind, "reason": why})

    def _hold(self, run: str, error: Exception) -> None:
        """Leave the server alone for a while; the first failure in a row is noted."""
        first = self._pause == 0.0
        self._pause = min(LONGEST_PAUSE, max(FIRST_PAUSE, self._pause * 2))
        self._not_before = self._clock() + self._pause
        if first:
            message = error.message if isinstance(error, ShipwayError) else repr(error)
            with contextlib.suppress(ShipwayError):  # the journal is away as well? the engine hears of that by itself
                self._note(run, AWAY, {"reason": message})

    def _left(self) -> int:
        return sum(len(self._journal.parcels(run=run)) for run in self._watched)


class _Start(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    tags: dict[str, str]
    at: float
