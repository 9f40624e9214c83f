"""The project as the user wrote it, checked, with every default filled in; and a stage's result."""

from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import msgspec

from shipway.specs.jobs import Resources
from shipway.specs.trees import Digest

if TYPE_CHECKING:
    JsonValue = None | bool | int | float | str | list["JsonValue"] | dict[str, "JsonValue"]
else:
    JsonValue = Any  # msgspec cannot decode a type that names itself


class Environment(msgspec.Struct, frozen=True, kw_only=True):
    """What a stage runs in. Both None: the interpreter at hand. `requirements` is a path relative to the project."""

    requirements: str | None = None
    python: str | None = None
    """The interpreter that makes the virtual environment (`python3.12`); None: the one that runs Shipway."""


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """
    One command with what it reads and writes.

    `command` is an argv or, as one string, a shell line. `inputs` None: every file git tracks or would track, minus
    outputs. Paths are normalised, relative to the project, without a trailing slash; inputs may be globs. `params` are dotted keys of params.yaml.
    `outputs`, `metrics` and `plots` are all outputs; metrics are JSON, CSV or JSONL files.
    """

    name: str
    command: tuple[str, ...] | str
    inputs: tuple[str, ...] | None = None
    params: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    plots: tuple[str, ...] = ()
    samples: str | None = None
    """One of the outputs: the file of samples with the predictions made offline, that verification sends to endpoints."""
    site: str = "local"
    environment: Environment = Environment()
    env: Mapping[str, str] = {}
    secrets: tuple[str, ...] = ()
    resources: Resources = Resources()
    timeout: timedelta | None = None
    tracked: bool | None = None
    """Whether the command logs to the tracker itself and needs its run id; None: look for `mlflow` in its code."""

    @property
    def all_outputs(self) -> tuple[str, ...]:
        """Every path that the stage writes, each once, in the order outputs, metrics, plots, samples."""
        samples = () if self.samples is None else (self.samples,)
        return tuple(dict.fromkeys((*self.outputs, *self.metrics, *self.plots, *samples)))


class Site(msgspec.Struct, frozen=True, kw_only=True):
    """A named place where stages run; `options` are the backend's own settings, already checked."""

    name: str
    kind: str = "process"
    workspace: str | None = None
    options: Mapping[str, JsonValue] = {}


class ModelSpec(msgspec.Struct, frozen=True, kw_only=True):
    """The model that the project makes: its registered name, and the output that holds it."""

    name: str
    path: str
    evaluate: str | None = None
    """The stage that judges it: the one that reads `path` and writes metrics; None only if no gate is set."""


class EndpointSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A named place where the model serves. `samples` is a file of the project; None: those of the evaluate stage."""

    name: str
    kind: str = "process"
    host: str = "127.0.0.1"
    port: int = 8080
    samples: str | None = None
    tolerance: float = 1e-6
    """How far a float may be from the offline prediction, relative to its size where that is above 1."""
    startup: timedelta = timedelta(seconds=60)
    drain: timedelta = timedelta(seconds=10)
    env: Mapping[str, str] = {}
    secrets: tuple[str, ...] = ()
    options: Mapping[str, JsonValue] = {}


class Project(msgspec.Struct, frozen=True, kw_only=True):
    """All of `shipway.yaml`. Relative paths are relative to `root`, an absolute directory."""

    name: str
    root: str
    stages: tuple[Stage, ...] = ()
    sites: tuple[Site, ...] = ()
    model: ModelSpec | None = None
    gate: tuple[str, ...] = ()
    endpoints: tuple[EndpointSpec, ...] = ()
    store: str | None = None
    """A directory, absolute or relative to `root`; None: `.shipway/store` beside the file."""
    tracking: str | None = None
    """A tracking URI, "off", or None: MLflow on SQLite in `.shipway/`."""
    journal: str | None = None
    """A PostgreSQL URL; None: SQLite in `.shipway/`."""

    def stage(self, name: str) -> Stage:
        """Raises KeyError."""
        return {stage.name: stage for stage in self.stages}[name]


class KeyParts(msgspec.Struct, frozen=True, kw_only=True):
    """
    All that determines a stage's result (idea 1), and nothing else.

    `inputs` maps each input path to its tree; `params` maps dotted keys to values; `env` holds the declared variables, without secrets.
    """

    command: tuple[str, ...] | str
    inputs: Mapping[str, Digest]
    params: Mapping[str, JsonValue]
    environment: Digest
    outputs: tuple[str, ...]
    env: Mapping[str, str] = {}


class StageResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a key leads to: the trees that the stage made, and where and when. Times are seconds since the epoch; `stage` is its name then."""

    key: Digest
    stage: str
    parts: KeyParts
    outputs: Mapping[str, Digest]
    logs: Digest | None
    run: str
    job: str
    started: float
    ended: float


class Hit(StrEnum):
    """What the plan says of a stage."""

    HIT = "hit"
    MISS = "miss"
    WAITS = "waits"
    """Its key cannot be known before a stage that it needs has run."""
