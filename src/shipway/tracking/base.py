"""The ports to an experiment tracker and to a model registry; implementations pass `shipway.testing.tracking_conformance`."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import msgspec

from shipway.specs.models import ModelVersion
from shipway.specs.runs import RunState


class TrackedMetric(msgspec.Struct, frozen=True, kw_only=True):
    """One value of a metric. `at` is in seconds since the epoch; repeating the same value at the same time and step is one value."""

    name: str
    value: float
    at: float
    step: int = 0


class Tracker(ABC):
    """
    Told of one run at a time, in batches; every verb may be repeated with the same arguments to the same effect.

    Raises UnavailableError (transient) when the server does not answer, NotFoundError for a run that it does not have, and
    UsageError for what it can never take (a name that is too long). `at` is when it happened, in seconds since the epoch; None: now.
    """

    secrets: ClassVar[tuple[str, ...]] = ()
    """Names of environment variables that a stage needs besides `environment`, if they are set; their values are secret."""

    @abstractmethod
    def start(self, run: str, *, name: str, tags: Mapping[str, str], at: float | None = None) -> str:
        """Begin, or find again, the tracker's run for Shipway's run id. Returns the tracker's own id."""

    @abstractmethod
    def log(
        self,
        tracked: str,
        *,
        params: Mapping[str, str] = {},
        metrics: Sequence[TrackedMetric] = (),
        tags: Mapping[str, str] = {},
    ) -> None:
        """Write parameters, metrics and tags. A parameter that is there already with another value is kept as it is."""

    @abstractmethod
    def save(self, tracked: str, source: Path, name: str) -> None:
        """Keep a file or directory as the artifact `name` (a relative POSIX path)."""

    @abstractmethod
    def finish(self, tracked: str, state: RunState, *, at: float | None = None) -> None:
        """Mark the end. What is logged later is still kept."""

    @abstractmethod
    def environment(self, tracked: str | None) -> Mapping[str, str]:
        """Variables for a stage, so that what it logs by itself lands in the same run; `tracked` None: no run is open yet."""


class ModelRegistry(ABC):
    """Model versions with aliases. Raises UnavailableError as Tracker does."""

    @abstractmethod
    def register(self, version: ModelVersion, source: Path, *, tracked: str | None = None) -> ModelVersion:
        """
        Register the model that lies at `source` (a file or directory) unless a version with its tree and triple is there.

        `tracked` is the tracker's run to attach it to. Returns the version as registered, with its number.
        """

    @abstractmethod
    def resolve(self, name: str, which: str) -> ModelVersion | None:
        """The version with that alias or number, or None."""

    @abstractmethod
    def promote(self, name: str, version: str, alias: str) -> None:
        """Point an alias at a version; the alias leaves the one that had it. Raises NotFoundError."""

    @abstractmethod
    def versions(self, name: str) -> Sequence[ModelVersion]:
        """All versions of a model, newest first; empty if there is no such model."""
