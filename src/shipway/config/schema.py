"""
`shipway.yaml` key by key, as pydantic models; the reference page is made from them.

They check each value alone. What values mean to each other is in `checks.py`.
"""

from datetime import timedelta
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from shipway.config import fields
from shipway.specs.models import CHALLENGER, CHAMPION
from shipway.specs.stages import EndpointSpec

_ENDPOINT = EndpointSpec(name="defaults")


def _key(description: str, default: Any = None) -> Any:
    return Field(default=default, description=description, validate_default=False)


def _required(description: str) -> Any:
    return Field(description=description)


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class EnvironmentSection(Section):
    """What a stage runs in. Left out: the interpreter that runs Shipway."""

    requirements: fields.Path | None = _key(
        "Requirements file; it becomes a virtual environment, made once per content."
    )
    python: fields.Text | None = _key("The interpreter that makes the virtual environment, such as `python3.12`.")


class ResourcesSection(Section):
    """What one job may use. They are not part of a stage's key."""

    cpus: fields.Cpus | None = _key("CPUs.")
    gpus: fields.Gpus | None = _key("GPUs.")
    memory: fields.Memory | None = _key("Memory.")
    time: fields.Time | None = _key("After this long the job is ended and has failed.")


class StageSection(Section):
    """One command with what it reads and writes."""

    run: fields.Command = _required("The command: one line for the shell, or a list that is passed on word by word.")
    inputs: fields.Globs = _key("What it reads. Left out: every file that git tracks or would track, minus outputs.")
    outputs: fields.Paths = _key("Files and directories that it writes.")
    params: fields.Texts | None = _key("Dotted keys of `params.yaml` that it depends on.")
    metrics: fields.Paths = _key("JSON, CSV or JSONL files with numbers; outputs as well.")
    plots: fields.Paths = _key("Pictures, or directories of them; outputs as well.")
    samples: fields.Path | None = _key("An output: inputs with the predictions made offline, which verify a rollout.")
    on: fields.Name = _key("The site where it runs.", "local")
    environment: EnvironmentSection | None = _key("Replaces the project's `environment` for this stage.")
    env: fields.Env | None = _key("Variables for the command, added to the project's `env`. Part of the key.")
    secrets: fields.Variables | None = _key(
        "Variables taken from your own environment. Never written down, not part of the key."
    )
    resources: ResourcesSection | None = _key("What its job may use.")
    tracked: fields.Flag | None = _key("Whether the command logs to MLflow itself. Left out: looked for in its code.")


class SiteSection(Section):
    """A named place where stages run. `local` is always there."""

    kind: fields.Kind = _key("The backend.", "process")
    workspace: fields.Directory | None = _key("Where jobs keep their work trees. Left out: `.shipway/`.")


class ModelSection(Section):
    """The model that the project makes."""

    name: fields.Name = _required(f"Its name in the registry; not `{CHAMPION}` or `{CHALLENGER}`.")
    path: fields.Path = _required("The output of a stage that holds it.")
    evaluate: fields.Name | None = _key(
        "The stage that judges it. Left out: the one that reads `path` and writes metrics."
    )


class EndpointSection(Section):
    """A named place where the model serves."""

    kind: fields.Kind = _key("What serves it.", _ENDPOINT.kind)
    host: fields.Host = _key("The address that it listens on.", _ENDPOINT.host)
    port: fields.Port = _key("The port that it listens on.", _ENDPOINT.port)
    samples: fields.Path | None = _key("Samples that verify a rollout. Left out: those of the evaluate stage.")
    tolerance: fields.Tolerance = _key(
        "How far a float may be from the offline prediction, relative where that is above 1.", _ENDPOINT.tolerance
    )
    startup: fields.Time = _key("How long a new revision may take to come up.", _ENDPOINT.startup)
    drain: fields.Duration = _key("How long the old revision may take to finish its requests.", _ENDPOINT.drain)
    env: fields.Env | None = _key("Variables for the server.")
    secrets: fields.Variables | None = _key("Variables for the server, taken from your own environment.")


class ProjectSection(Section):
    """The whole file."""

    project: fields.Name = _required("The project's name.")
    environment: EnvironmentSection | None = _key("What stages run in.")
    stages: dict[fields.Name, StageSection] = _required(
        "The stages, by name. Their order follows from inputs and outputs."
    )
    sites: dict[fields.Name, SiteSection] | None = _key("The sites, by name.")
    model: ModelSection | None = _key("The model that `shipway ship` ships.")
    gate: fields.Texts | None = _key("Conditions that a model must meet; see [the gate](gate.md).")
    endpoints: dict[fields.Name, EndpointSection] | None = _key("The endpoints, by name.")
    store: fields.Directory | None = _key("Where results are kept. Left out: `.shipway/store` beside the file.")
    tracking: fields.TrackingUri | None = _key("The MLflow tracking server. Left out: SQLite in `.shipway/`.")
    journal: fields.JournalUrl | None = _key(
        "A PostgreSQL database for the journal, without a password. Left out: SQLite in `.shipway/`."
    )
    env: fields.Env | None = _key("Variables for every stage.")
    secrets: fields.Variables | None = _key("Secrets for every stage.")


def words(value: object) -> str:
    """A default as it would be written in the file."""
    if isinstance(value, timedelta):
        return f"{value.total_seconds():g}s"
    return str(value)
