"""The port to the journal; every implementation passes `shipway.testing.journal_conformance`."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from datetime import timedelta

from shipway.specs.runs import Event, JobRow, Lease, Parcel, Run, RunState, StageRow
from shipway.specs.stages import JsonValue
from shipway.specs.trees import Digest


class Journal(ABC):
    """
    Runs, stages, jobs, leases, steps, events and parcels, each written before the next thing begins.

    Whatever takes a lease checks it in the same transaction: LeaseLostError if it ended or a newer epoch holds its name, and then nothing was
    written. A run's lease is named `run/<id>`. Safe for many processes and threads. Raises UnavailableError when the database does not answer.
    """

    # Runs

    @abstractmethod
    def create(self, run: Run) -> None:
        """Write a new run. Raises ConflictError if the id is taken."""

    @abstractmethod
    def get(self, run: str) -> Run:
        """Raises NotFoundError."""

    @abstractmethod
    def list(self, *, project: str | None = None, states: Sequence[RunState] = (), limit: int = 50) -> Sequence[Run]:
        """Runs, newest first; `states` empty: all."""

    @abstractmethod
    def finish(self, lease: Lease, state: RunState, error: str | None = None) -> Run:
        """Write the run's end; the first end stands. Returns the run as it stands."""

    # Leases

    @abstractmethod
    def claim(self, name: str, owner: str, ttl: timedelta) -> Lease:
        """Take a free or expired lease with the next epoch. Raises ConflictError with the owner's name while another holds it."""

    @abstractmethod
    def holder(self, name: str) -> Lease | None:
        """The live lease of that name, or None."""

    @abstractmethod
    def renew(self, lease: Lease, ttl: timedelta) -> Lease:
        """Push the end of our lease out. Raises LeaseLostError."""

    @abstractmethod
    def release(self, lease: Lease) -> None:
        """Give it up; silently nothing if it is not ours any more."""

    # Stages, jobs, steps

    @abstractmethod
    def save_stage(self, lease: Lease, row: StageRow) -> StageRow:
        """Write a stage's row; a terminal row stands for ever. Returns the row that stands."""

    @abstractmethod
    def stages(self, run: str) -> Sequence[StageRow]:
        """The stages of a run in the order in which they were first written."""

    @abstractmethod
    def last_key(self, project: str, stage: str) -> Digest | None:
        """The key of the newest succeeded or cached row of that stage in that project."""

    @abstractmethod
    def save_job(self, lease: Lease, row: JobRow) -> JobRow:
        """
        Write a job; the first row of an id stands in all but handle, state, exit_code, reason and ended, and a terminal state stands for ever.

        Any run's lease may update a job that another run made (two drivers may wait for one job). Returns the row that stands.
        """

    @abstractmethod
    def jobs(self, *, run: str | None = None, key: Digest | None = None) -> Sequence[JobRow]:
        """Jobs of a run (those that it made or that its stages name), or of a key, oldest first."""

    @abstractmethod
    def record(self, lease: Lease, step: str, value: JsonValue) -> JsonValue:
        """Write a step's result under the lease's run; the first write wins. Returns the value that stands."""

    @abstractmethod
    def steps(self, run: str) -> Mapping[str, JsonValue]:
        """The recorded steps of a run, in the order of writing."""

    # Events and parcels

    @abstractmethod
    def note(self, run: str, kind: str, data: Mapping[str, JsonValue]) -> Event:
        """Append an event."""

    @abstractmethod
    def events(self, run: str, *, after: int = 0) -> Sequence[Event]:
        """Events of a run with `seq` above `after`, in order."""

    @abstractmethod
    def post(self, lease: Lease, kind: str, data: Mapping[str, JsonValue], *, once: str) -> None:
        """Keep one thing that the tracker has to be told; `once` names it within its run, so that a repeat is dropped."""

    @abstractmethod
    def parcels(self, *, run: str | None = None) -> Sequence[Parcel]:
        """What has not been sent yet, in order."""

    @abstractmethod
    def sent(self, seq: int) -> None:
        """Take a parcel off the list; unknown: no error."""

    @abstractmethod
    def close(self) -> None:
        """Give connections back. The journal may be used again afterwards."""
