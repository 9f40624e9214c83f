"""The tracker that is MLflow: one MLflow run for each Shipway run, found by its tag `shipway.run`."""

import itertools
import posixpath
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from shipway.errors import ConflictError, NotFoundError, UsageError
from shipway.specs.runs import RunState
from shipway.tracking.base import TrackedMetric, Tracker
from shipway.tracking.mlflow_client import QUIET, Server
from shipway.tracking.uris import sqlite_file

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

STATES = {
    RunState.RUNNING: "RUNNING",
    RunState.SUCCEEDED: "FINISHED",
    RunState.HELD: "FINISHED",
    RunState.FAILED: "FAILED",
    RunState.CANCELLED: "KILLED",
}

BATCH_METRICS = 900
BATCH_VALUES = 50
"""MLflow takes at most 1000 entries and 1 MB in a request, 100 of them parameters and 100 tags."""
PARAM_LENGTH = 6000
TAG_LENGTH = 8000
RUN_TAG = "shipway.run"

T = TypeVar("T")


class MlflowTracker(Tracker):
    """
    Tracks into the experiment named after the project.

    `artifacts` is where a new experiment keeps its files if `uri` is a SQLite file; a server decides for itself.
    """

    secrets: ClassVar[tuple[str, ...]] = (
        "MLFLOW_TRACKING_USERNAME",
        "MLFLOW_TRACKING_PASSWORD",
        "MLFLOW_TRACKING_TOKEN",
    )

    def __init__(self, uri: str, *, project: str, artifacts: Path | None = None) -> None:
        self.uri = uri
        self.project = project
        self.artifacts = artifacts
        self._server = Server(uri)
        self._experiment: str | None = None

    def start(self, run: str, *, name: str, tags: Mapping[str, str], at: float | None = None) -> str:
        given = {**tags, RUN_TAG: run}
        with self._server.client() as client, self._server.alone():
            experiment = self._experiment_id(client)
            found = _find(client, experiment, run)
            if found is not None:
                self.log(found, tags=given)
                return found
            made = client.create_run(
                experiment, start_time=_milliseconds(at), tags=_creation_tags(given), run_name=name
            ).info.run_id
            chosen = _find(client, experiment, run) or made
            if chosen != made:  # another driver was quicker on the same server
                client.delete_run(made)
            return str(chosen)

    def log(
        self,
        tracked: str,
        *,
        params: Mapping[str, str] = {},
        metrics: Sequence[TrackedMetric] = (),
        tags: Mapping[str, str] = {},
    ) -> None:
        with self._server.client() as client:
            from mlflow.entities import Metric, Param, RunTag

            known = client.get_run(tracked).data.params if params else {}
            fresh = {
                accepted(name): value[:PARAM_LENGTH] for name, value in params.items() if accepted(name) not in known
            }
            for part in _parts(fresh.items(), BATCH_VALUES):
                client.log_batch(tracked, params=[Param(name, value) for name, value in part])
            for some in _parts(metrics, BATCH_METRICS):
                client.log_batch(
                    tracked, metrics=[Metric(accepted(m.name), m.value, _milliseconds(m.at), m.step) for m in some]
                )
            for part in _parts(tags.items(), BATCH_VALUES):
                client.log_batch(tracked, tags=[RunTag(accepted(name), value[:TAG_LENGTH]) for name, value in part])

    def save(self, tracked: str, source: Path, name: str) -> None:
        with self._server.client() as client:
            save_as(client, tracked, source, name)

    def finish(self, tracked: str, state: RunState, *, at: float | None = None) -> None:
        with self._server.client() as client:
            client.set_tag(tracked, "shipway.state", state.value)
            client.set_terminated(tracked, STATES[state], end_time=_milliseconds(at))

    def environment(self, tracked: str | None) -> Mapping[str, str]:
        known = {} if tracked is None else {"MLFLOW_RUN_ID": tracked}
        return {"MLFLOW_TRACKING_URI": self.uri, "MLFLOW_EXPERIMENT_NAME": self.project, **known, **QUIET}

    def _experiment_id(self, client: "MlflowClient") -> str:
        if self._experiment is None:
            self._experiment = experiment_id(client, self.project, self.artifacts if sqlite_file(self.uri) else None)
        return self._experiment


def experiment_id(client: "MlflowClient", project: str, artifacts: Path | None) -> str:
    """Find or make the project's experiment; one that the user deleted is brought back, as MLflow frees its name only with its data."""
    experiment = client.get_experiment_by_name(project)
    if experiment is None:
        location = None if artifacts is None else (artifacts.absolute() / project).as_uri()
        try:
            return str(client.create_experiment(project, artifact_location=location))
        except Exception as error:
            if getattr(error, "error_code", None) != "RESOURCE_ALREADY_EXISTS":
                raise
            experiment = client.get_experiment_by_name(project)
    if experiment is None:
        raise ConflictError(f"MLflow's experiment {project!r} came and went")
    if experiment.lifecycle_stage == "deleted":
        client.restore_experiment(experiment.experiment_id)
    return str(experiment.experiment_id)


def save_as(client: "MlflowClient", tracked: str, source: Path, name: str) -> None:
    """Upload a file or directory so that it is found under exactly `name` among the run's artifacts."""
    if not source.exists():
        raise NotFoundError(f"artifact {name}: there is no {source}")
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or str(path) == ".":
        raise UsageError(f"artifact name {name!r} is not a relative path")
    if source.is_dir():
        for below in source.rglob("*"):
            if not below.exists():  # MLflow copies what a link leads to
                raise UsageError(f"artifact {name}: the link {below.relative_to(source)} leads nowhere")
        client.log_artifacts(tracked, str(source), str(path))
        return
    parent = None if str(path.parent) == "." else str(path.parent)
    if source.name == path.name:
        client.log_artifact(tracked, str(source), parent)
        return
    import shutil
    import tempfile

    with tempfile.TemporaryDirectory(prefix="shipway-") as place:  # MLflow keeps a file's own name
        client.log_artifact(tracked, str(shutil.copy(source, Path(place) / path.name)), parent)


def accepted(name: str) -> str:
    """
    The name in MLflow's alphabet (letters, digits, `_-. /:`), other characters as `_`: `f1@5` is `f1_5`.

    Raises UsageError for an empty name and one of more than 250 characters.
    """
    if not name or len(name) > 250:
        raise UsageError(f"MLflow takes names of 1 to 250 characters, not {len(name)}: {name[:40]!r}")
    clean = re.sub(r"[^\w\-. /:]", "_", name)
    return (
        clean
        if posixpath.normpath(clean) == clean and not clean.startswith(("/", "..")) and clean != "."
        else re.sub(r"[/.]", "_", clean)
    )


def _find(client: "MlflowClient", experiment: str, run: str) -> str | None:
    """The MLflow run of a Shipway run; of several (a race on a server) the one that every driver would choose."""
    runs: list[Any] = list(client.search_runs([experiment], filter_string=f"tags.`{RUN_TAG}` = '{run}'"))
    runs.sort(key=lambda found: (found.info.start_time, found.info.run_id))
    return str(runs[0].info.run_id) if runs else None


def _creation_tags(tags: Mapping[str, str]) -> dict[str, str]:
    import getpass

    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # a container's user without a name
        user = "unknown"
    source = {"mlflow.user": user, "mlflow.source.name": "shipway", "mlflow.source.type": "LOCAL"}
    return {accepted(name): value[:TAG_LENGTH] for name, value in {**source, **tags}.items()}


def _milliseconds(at: float | None) -> int:
    return int((time.time() if at is None else at) * 1000)


def _parts(values: Iterable[T], size: int) -> Iterator[Sequence[T]]:
    items = iter(values)
    while part := list(itertools.islice(items, size)):
        yield part
