"""The port to a place where jobs run; every implementation passes `shipway.testing.backend_conformance`."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from typing import ClassVar

from shipway.specs.jobs import JobHandle, JobSpec, JobStatus
from shipway.specs.trees import Digest
from shipway.store.base import Store


class Capability(StrEnum):
    """What a backend may lack. The engine and the conformance suite ask the class, never guess."""

    IMAGE = "image"
    GPU = "gpu"
    LIMITS = "limits"
    """Enforces cpus and memory_mib."""
    TIMEOUT = "timeout"


class Backend(ABC):
    """
    Holds settings and a connection, never the jobs themselves: any instance, in any process, answers for a handle another one made.

    Raises UnavailableError from every verb when the far side does not answer; calling again is then always safe.
    """

    name: ClassVar[str]
    capabilities: ClassVar[frozenset[Capability]]

    @abstractmethod
    def render(self, job: JobSpec) -> str:
        """Return the native request as text, without secrets. Pure: no network, no clock, no environment. Raises InvalidJobError."""

    @abstractmethod
    def submit(self, job: JobSpec) -> JobHandle:
        """
        Stage the inputs and start `job` unless its id was started before; return without waiting for its end.

        Raises InvalidJobError before any side effect. A program that does not exist fails the job, not the caller.
        """

    @abstractmethod
    def status(self, handles: Sequence[JobHandle]) -> Mapping[JobHandle, JobStatus]:
        """One far-side call for all. Every handle is answered; one that the far side does not know is NOT_FOUND, never a guess."""

    @abstractmethod
    def logs(self, handle: JobHandle, *, follow: bool = False) -> Iterator[bytes]:
        """
        Yield output lines with their line ends: stdout and stderr, each in its own order.

        With `follow` it ends when the job does. Raises NotFoundError.
        """

    @abstractmethod
    def cancel(self, handle: JobHandle) -> None:
        """Ask the job and all it started to stop; return without waiting. A finished job stays as it is. Raises NotFoundError."""

    @abstractmethod
    def collect(self, handle: JobHandle, store: Store) -> Mapping[str, Digest]:
        """
        Store the outputs that a succeeded job declared, each as a tree, and return them by path. May be repeated.

        Raises OutputMissingError (names it, lists what is there), InputChangedError (names the input), NotFoundError, StageError
        for a job that has not succeeded.
        """

    @abstractmethod
    def remove(self, handle: JobHandle) -> None:
        """Forget a finished job and all it left on the far side. A live one is cancelled and ended first; an unknown one is no error."""
