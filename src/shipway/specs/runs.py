"""What the journal remembers: runs, stages, jobs, leases, events, and the outbox for the tracker. Times are seconds since the epoch."""

from collections.abc import Mapping
from enum import StrEnum

import msgspec

from shipway.specs.jobs import JobState
from shipway.specs.stages import JsonValue
from shipway.specs.trees import Digest


class RunState(StrEnum):
    """HELD: the gate did not let the model in, which is an end like any other. A run whose driver died stays RUNNING without a live lease."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    HELD = "held"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def terminal(self) -> bool:
        return self is not RunState.RUNNING


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """
    One attempt to bring a plan to its end.

    `plan` is the digest of what was asked (stages, keys known at the start, options): the next `run` with the same plan takes up a
    dead driver's run. `request` is what a driver needs to go on.
    """

    id: str
    project: str
    plan: Digest
    request: Mapping[str, JsonValue]
    created: float
    state: RunState = RunState.RUNNING
    ended: float | None = None
    error: str | None = None


class StageState(StrEnum):
    WAITING = "waiting"
    RUNNING = "running"
    CACHED = "cached"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"
    """Not run because a stage that it needs failed."""

    @property
    def terminal(self) -> bool:
        return self not in (StageState.WAITING, StageState.RUNNING)


class StageRow(msgspec.Struct, frozen=True, kw_only=True):
    """One stage of one run. `job` is the id of the job it waits for or got its result from."""

    run: str
    name: str
    state: StageState
    key: Digest | None = None
    job: str | None = None
    started: float | None = None
    ended: float | None = None
    reason: str | None = None


class JobRow(msgspec.Struct, frozen=True, kw_only=True):
    """One submission. `attempt` counts from 1 for each key; `run` is the run that made it, which alone may cancel it."""

    id: str
    key: Digest
    attempt: int
    run: str
    stage: str
    site: str
    created: float
    handle: str | None = None
    state: JobState = JobState.QUEUED
    exit_code: int | None = None
    reason: str | None = None
    ended: float | None = None


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """The right to drive `name` until `expires`. `epoch` grows with every new owner; a write with an older epoch is refused."""

    name: str
    owner: str
    epoch: int
    expires: float


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened, for people and machines to read later; `seq` orders all events of a journal."""

    seq: int
    run: str
    at: float
    kind: str
    data: Mapping[str, JsonValue] = {}


class Parcel(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that the tracker has to be told, kept until it has been."""

    seq: int
    run: str
    kind: str
    data: Mapping[str, JsonValue]
