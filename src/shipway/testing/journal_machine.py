"""
Any sequence of calls gives what a model of a few dictionaries gives: a hypothesis state machine for journals.

The clock is the machine's, so leases end in the middle of whatever goes on.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from shipway.errors import ConflictError, LeaseLostError
from shipway.journal.base import Journal
from shipway.specs.jobs import JobState
from shipway.specs.runs import JobRow, Lease, Parcel, Run, RunState, StageRow, StageState
from shipway.specs.trees import Digest, digest_of
from shipway.testing.journal_racer import sample_run

RUNS = ("r1", "r2")
KEYS = (digest_of(b"a"), digest_of(b"b"))
_runs = st.sampled_from(RUNS)
_owners = st.sampled_from(("alice", "bob"))
_times = st.sampled_from((0, 5, 20)).map(lambda seconds: timedelta(seconds=seconds))
_names = st.sampled_from(("prepare", "train"))
_keys = st.sampled_from(KEYS)
_values = st.sampled_from((None, 1, "x", [1.5], {"a": True}))
_pick = st.integers(0, 1_000)

Open = Callable[[Callable[[], float]], Journal]
"""Opens a new, empty journal that lives by a clock."""


class JournalMachine(RuleBasedStateMachine):
    """Keeps beside the journal what it must hold."""

    def __init__(self, open_new: Open) -> None:
        super().__init__()
        self.now = 1000.0
        self.journal = open_new(lambda: self.now)
        self.runs: dict[str, Run] = {}
        self.live: dict[str, Lease] = {}
        self.epochs = dict.fromkeys(RUNS, 0)
        self.given: list[Lease] = []
        self.stages: dict[tuple[str, str], StageRow] = {}
        self.jobs: dict[str, JobRow] = {}
        self.steps: dict[str, dict[str, Any]] = {run: {} for run in RUNS}
        self.posted: set[tuple[str, str]] = set()
        self.waiting: list[tuple[str, str, Any]] = []
        self.events: dict[str, list[str]] = {run: [] for run in RUNS}
        for run in RUNS:
            self.runs[run] = sample_run(run, created=float(len(self.runs)))
            self.journal.create(self.runs[run])

    def teardown(self) -> None:
        self.journal.close()

    # Time and leases

    @rule(seconds=st.sampled_from((1, 5, 10)))
    def time_passes(self, seconds: int) -> None:
        self.now += seconds

    @rule(run=_runs, owner=_owners, ttl=_times)
    def claim(self, run: str, owner: str, ttl: timedelta) -> None:
        holder = self._holder(run)
        if holder is not None:
            with pytest.raises(ConflictError, match=holder.owner):
                self.journal.claim(f"run/{run}", owner, ttl)
            return
        self.epochs[run] += 1
        expires = self.now + ttl.total_seconds()
        lease = Lease(name=f"run/{run}", owner=owner, epoch=self.epochs[run], expires=expires)
        assert self.journal.claim(f"run/{run}", owner, ttl) == lease
        self.live[run] = lease
        self.given.append(lease)

    @precondition(lambda self: self.given)
    @rule(pick=_pick, ttl=_times)
    def renew(self, pick: int, ttl: timedelta) -> None:
        lease = self._one(pick)
        if not self._good(lease):
            with pytest.raises(LeaseLostError):
                self.journal.renew(lease, ttl)
            return
        run = self._run(lease)
        until = max(self.live[run].expires, self.now + ttl.total_seconds())
        self.live[run] = msgspec.structs.replace(self.live[run], expires=until)
        assert self.journal.renew(lease, ttl) == self.live[run]

    @precondition(lambda self: self.given)
    @rule(pick=_pick)
    def release(self, pick: int) -> None:
        lease = self._one(pick)
        self.journal.release(lease)
        if self.epochs[self._run(lease)] == lease.epoch:
            self.live.pop(self._run(lease), None)

    # What a lease allows

    @precondition(lambda self: self.given)
    @rule(pick=_pick, state=st.sampled_from([state for state in RunState if state.terminal]))
    def finish(self, pick: int, state: RunState) -> None:
        lease = self._one(pick)
        run = self.runs[self._run(lease)]
        if not run.state.terminal and self._good(lease):
            self.runs[run.id] = msgspec.structs.replace(run, state=state, ended=self.now)
        self._write(lease, lambda: self.journal.finish(lease, state), lambda: self.runs[run.id])

    @precondition(lambda self: self.given)
    @rule(pick=_pick, name=_names, state=st.sampled_from(StageState), key=_keys)
    def save_stage(self, pick: int, name: str, state: StageState, key: Digest) -> None:
        lease = self._one(pick)
        row = StageRow(run=self._run(lease), name=name, state=state, key=key)
        place = (row.run, name)
        if self._good(lease) and not (place in self.stages and self.stages[place].state.terminal):
            self.stages[place] = row
        self._write(lease, lambda: self.journal.save_stage(lease, row), lambda: self.stages[place])

    @precondition(lambda self: self.given)
    @rule(
        pick=_pick,
        name=_names,
        state=st.sampled_from(JobState),
        key=_keys,
        handle=st.sampled_from((None, "h:1", "h:2")),
    )
    def save_job(self, pick: int, name: str, state: JobState, key: Digest, handle: str | None) -> None:
        lease = self._one(pick)
        job = JobRow(
            id=f"j-{name}", key=key, attempt=1, run=self._run(lease), stage=name, site="local", created=1.0, handle=handle, state=state
        )  # fmt: skip
        first = self.jobs.get(job.id)
        if self._good(lease) and not (first and first.state.terminal):
            known = handle or (first.handle if first else None)
            self.jobs[job.id] = msgspec.structs.replace(first or job, handle=known, state=state)
        self._write(lease, lambda: self.journal.save_job(lease, job), lambda: self.jobs[job.id])

    @precondition(lambda self: self.given)
    @rule(pick=_pick, step=_names, value=_values)
    def record(self, pick: int, step: str, value: Any) -> None:
        lease = self._one(pick)
        steps = self.steps[self._run(lease)]
        if self._good(lease):
            steps.setdefault(step, value)
        self._write(lease, lambda: self.journal.record(lease, step, value), lambda: steps[step])

    @precondition(lambda self: self.given)
    @rule(pick=_pick, once=_names, value=_values)
    def post(self, pick: int, once: str, value: Any) -> None:
        lease = self._one(pick)
        run = self._run(lease)
        if self._good(lease) and (run, once) not in self.posted:
            self.posted.add((run, once))
            self.waiting.append((run, once, value))
        self._write(lease, lambda: self.journal.post(lease, once, {"v": value}, once=once), lambda: None)

    # What needs none

    @precondition(lambda self: self.waiting)
    @rule(pick=_pick)
    def sent(self, pick: int) -> None:
        place = pick % len(self.waiting)
        self.journal.sent(self.journal.parcels()[place].seq)
        del self.waiting[place]

    @rule(run=_runs, kind=_names)
    def note(self, run: str, kind: str) -> None:
        assert self.journal.note(run, kind, {}).at == self.now
        self.events[run].append(kind)

    @rule()
    def all_connections_are_given_back(self) -> None:
        self.journal.close()

    # What must hold

    @invariant()
    def leases_are_as_the_model_has_them(self) -> None:
        for run in RUNS:
            assert self.journal.holder(f"run/{run}") == self._holder(run)

    @invariant()
    def rows_are_as_the_model_has_them(self) -> None:
        assert list(self.journal.list()) == [self.runs[run] for run in reversed(RUNS)]
        assert list(self.journal.jobs()) == list(self.jobs.values())
        for run in RUNS:
            assert list(self.journal.stages(run)) == [row for row in self.stages.values() if row.run == run]
            assert list(self.journal.steps(run).items()) == list(self.steps[run].items())
            assert [event.kind for event in self.journal.events(run)] == self.events[run]

    @invariant()
    def parcels_wait_as_the_model_has_them(self) -> None:
        def plain(parcel: Parcel) -> tuple[str, str, Any]:
            return parcel.run, parcel.kind, parcel.data["v"]

        assert [plain(parcel) for parcel in self.journal.parcels()] == self.waiting

    # The model's own

    def _write(self, lease: Lease, write: Callable[[], Any], stands: Callable[[], Any]) -> None:
        """A write gives what stands, or is refused."""
        if self._good(lease):
            assert write() == stands()
        else:
            with pytest.raises(LeaseLostError):
                write()

    def _good(self, lease: Lease) -> bool:
        holder = self._holder(self._run(lease))
        return holder is not None and holder.epoch == lease.epoch

    def _holder(self, run: str) -> Lease | None:
        lease = self.live.get(run)
        return lease if lease is not None and lease.expires > self.now else None

    def _one(self, pick: int) -> Lease:
        return self.given[-1 - pick % len(self.given)]

    def _run(self, lease: Lease) -> str:
        return lease.name.partition("/")[2]
