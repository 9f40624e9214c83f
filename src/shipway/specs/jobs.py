"""Jobs: one submission of a stage to a site, as every backend understands it."""

from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from typing import Self

import msgspec

from shipway.specs.trees import Digest


class Resources(msgspec.Struct, frozen=True, kw_only=True):
    """What one job may use; None leaves it to the site."""

    cpus: int | None = None
    memory_mib: int | None = None
    gpus: int | None = None


class Mount(msgspec.Struct, frozen=True, kw_only=True):
    """
    A tree that stands at `path` of the job's work tree before its command starts.

    `path` is relative to the work tree ("." is the work tree itself). `origin` is a local directory or file that held exactly
    this tree when the run began: if it still does, it may be linked in instead of a copy.
    """

    path: str
    tree: Digest
    origin: str | None = None


class JobSpec(msgspec.Struct, frozen=True, kw_only=True):
    """
    One command to run once.

    `id` names the job for good: submitting it twice is one job, which is what lets a driver resume after a crash.
    It matches `[a-z0-9][a-z0-9-]{0,62}`. `command` is an argv, passed verbatim. `env` is what the command sees besides what the
    site gives; `secrets` are further variables whose values never reach a file, an argv or a log.
    `outputs` are paths relative to the work tree, each collected as a tree. `timeout` None: no limit.
    """

    id: str
    run: str
    stage: str
    command: tuple[str, ...]
    env: Mapping[str, str] = {}
    secrets: Mapping[str, str] = {}
    inputs: tuple[Mount, ...] = ()
    outputs: tuple[str, ...] = ()
    resources: Resources = Resources()
    timeout: timedelta | None = None
    image: str | None = None

    def __repr__(self) -> str:
        return f"JobSpec(id={self.id!r}, stage={self.stage!r})"


class JobHandle(msgspec.Struct, frozen=True):
    """Where a job went. Its text form is what the journal stores and people see."""

    backend: str
    native_id: str

    def __str__(self) -> str:
        return f"{self.backend}:{self.native_id}"

    @classmethod
    def parse(cls, text: str) -> Self:
        backend, _, native_id = text.partition(":")
        return cls(backend, native_id)


class JobState(StrEnum):
    """
    States of a job; apart from UNKNOWN they only move down this list.

    UNKNOWN: the far side gave no usable answer; neither success nor failure. NOT_FOUND: it answered that it has no such job.
    """

    UNKNOWN = "unknown"
    NOT_FOUND = "not found"
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def terminal(self) -> bool:
        return self in (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)


class Failure(StrEnum):
    """Why a job FAILED, where the far side can tell."""

    EXIT = "exit"
    """The command ended with a non-zero code."""
    TIMEOUT = "timeout"
    OUT_OF_MEMORY = "out of memory"
    NOT_STARTED = "not started"
    """The inputs, the work tree or the program could not be had; the command never ran."""
    LOST = "lost"
    """The machine or the process that held the job went away without leaving an exit code."""


class JobStatus(msgspec.Struct, frozen=True, kw_only=True):
    """`started` and `ended` are seconds since the epoch on the far side's clock."""

    state: JobState
    exit_code: int | None = None
    failure: Failure | None = None
    reason: str | None = None
    started: float | None = None
    ended: float | None = None
