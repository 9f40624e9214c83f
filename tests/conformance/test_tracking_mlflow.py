"""The tracking suites on MLflow with a SQLite file, and what only that one does."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from shipway.errors import UnsupportedError, UsageError
from shipway.specs.runs import RunState
from shipway.specs.trees import digest_of
from shipway.testing.tracking_conformance import Register, RegistryConformance, Seen, TrackerConformance, sample
from shipway.tracking.base import ModelRegistry, TrackedMetric, Tracker
from shipway.tracking.mlflow import STATES, MlflowTracker
from shipway.tracking.mlflow_client import Server
from shipway.tracking.mlflow_registry import MlflowRegistry

pytest.importorskip("mlflow", reason="needs shipway[mlflow]")

OPENER = """
import sys
import mlflow.store.tracking.sqlalchemy_store
from shipway.tracking.mlflow import MlflowTracker

tracker = MlflowTracker(sys.argv[1], project="p")
print("ready", flush=True)
sys.stdin.readline()
print(tracker.start("r1", name="r1", tags={}, at=5.0))
"""


def see_mlflow(uri: str, tracked: str, place: Path) -> Seen:
    """What MLflow's own client shows."""
    with Server(uri).client() as client:
        run = client.get_run(tracked)
        history = {name: client.get_metric_history(tracked, name) for name in run.data.metrics}
        root = Path(client.download_artifacts(tracked, "", str(place)))
        return Seen(
            name=run.info.run_name,
            state=run.info.status,
            params=run.data.params,
            tags=run.data.tags,
            metrics={name: [(one.step, one.value) for one in found] for name, found in history.items()},
            artifacts={str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()},
        )


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory for one database, whose making takes two seconds; odd signs in its path on purpose."""
    return tmp_path_factory.mktemp("mlflow é 100%")


class OnSqlite:
    @pytest.fixture(autouse=True)
    def _uri(self, place: Path, tmp_path: Path) -> None:
        self.place, self.tmp_path = place, tmp_path
        self.uri = f"sqlite:///{place}/mlflow.db"


class TestMlflowTracker(OnSqlite, TrackerConformance):
    states = STATES

    def open(self) -> Tracker:
        return MlflowTracker(self.uri, project="digits", artifacts=self.place / "artifacts")

    def see(self, tracked: str) -> Seen:
        (self.tmp_path / "seen").mkdir(exist_ok=True)
        return see_mlflow(self.uri, tracked, self.tmp_path / "seen")

    def test_artifacts_lie_where_the_project_keeps_them(self, tracker: Tracker, tracked: str, tmp_path: Path) -> None:
        (tmp_path / "plot.png").write_bytes(b"png")
        tracker.save(tracked, tmp_path / "plot.png", "plots/plot.png")
        assert [
            path.read_bytes() for path in (self.place / "artifacts").glob(f"digits/{tracked}/*/plots/plot.png")
        ] == [b"png"]

    def test_the_times_are_those_of_the_run_and_not_of_the_sending(self, tracker: Tracker, tracked: str) -> None:
        tracker.finish(tracked, RunState.SUCCEEDED, at=3000.5)
        with Server(self.uri).client() as client:
            info = client.get_run(tracked).info
        assert (info.start_time, info.end_time) == (1_000_000, 3_000_500)

    def test_a_held_run_can_be_told_from_one_that_got_through(self, tracker: Tracker, tracked: str) -> None:
        tracker.finish(tracked, RunState.HELD)
        assert self.see(tracked).tags["shipway.state"] == "held"

    def test_an_experiment_that_was_deleted_comes_back(self, tmp_path: Path) -> None:
        first = MlflowTracker(self.uri, project="once deleted").start("r1", name="r1", tags={})
        with Server(self.uri).client() as client:
            client.delete_experiment(client.get_run(first).info.experiment_id)
        again = MlflowTracker(self.uri, project="once deleted")
        again.log(again.start("r1", name="r1", tags={}), params={"a": "1"})

    def test_a_link_to_nowhere_among_the_artifacts_is_refused_for_good(
        self, tracker: Tracker, tracked: str, tmp_path: Path
    ) -> None:
        (tmp_path / "plots").mkdir()
        (tmp_path / "plots" / "link").symlink_to("nowhere")
        with pytest.raises(UsageError, match="link leads nowhere"):
            tracker.save(tracked, tmp_path / "plots", "plots")


class TestMlflowRegistry(OnSqlite, RegistryConformance):
    def open(self) -> ModelRegistry:
        return MlflowRegistry(self.uri, project="digits", artifacts=self.place / "artifacts")

    def test_the_model_is_an_artifact_of_the_run_that_made_it(
        self, registry: ModelRegistry, name: str, register: Register
    ) -> None:
        tracker = MlflowTracker(self.uri, project="digits", artifacts=self.place / "artifacts")
        tracked = tracker.start("the run", name="the run", tags={})
        version = register.version(b"one")
        source = self.tmp_path / "model.joblib"
        source.write_bytes(b"one")
        made = registry.register(version, source, tracked=tracked)
        with Server(self.uri).client() as client:
            found = client.get_model_version(name, made.version)
        assert found.run_id == tracked
        assert (
            Path(found.source.removeprefix("file://").replace("%20", " ").replace("%C3%A9", "é").replace("%25", "%"))
            / "model.joblib"
        ).read_bytes() == b"one"
        assert found.tags["shipway.tree"] == version.tree
        assert found.tags["shipway.code"] == "code-1"

    def test_other_peoples_versions_are_neither_listed_nor_taken_for_ours(
        self, registry: ModelRegistry, name: str, register: Register
    ) -> None:
        register(b"one")
        with Server(self.uri).client() as client:
            client.create_model_version(name, "file:///elsewhere")
            client.set_registered_model_alias(name, "champion", "2")
        assert [version.version for version in registry.versions(name)] == ["1"]
        with pytest.raises(UnsupportedError, match="version 2"):
            registry.resolve(name, "champion")
        registry.promote(name, "1", "champion")
        assert register(b"one").aliases == ("champion",)


class Overtaken(MlflowRegistry):
    """Another registrant makes the same version just before this one does."""

    def _create(self, *given: Any) -> str:
        super()._create(*given)
        return super()._create(*given)


def test_of_two_registrants_the_lower_number_stays_and_the_other_is_taken_back(place: Path, tmp_path: Path) -> None:
    uri, name = f"sqlite:///{place}/mlflow.db", f"raced {tmp_path.name}"
    (tmp_path / "model").write_bytes(b"m")
    registry = Overtaken(uri, project="digits", artifacts=place / "artifacts")
    assert registry.register(sample(name, digest_of(b"m")), tmp_path / "model").version == "1"
    assert [version.version for version in registry.versions(name)] == ["1"]


@pytest.mark.slow
def test_processes_that_open_a_new_database_at_once_leave_it_whole(tmp_path: Path) -> None:
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", OPENER, f"sqlite:///{tmp_path}/new.db"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("\n")
        racer.stdin.flush()
    answers = [racer.communicate(timeout=400) for racer in racers]
    assert [errors for _, errors in answers] == [""] * 4
    assert len({out for out, _ in answers}) == 1


KILLED = """
import os
import signal
import sys

from sqlalchemy import event
from sqlalchemy.engine import Engine

from shipway.tracking.mlflow_client import Server

made = []


@event.listens_for(Engine, "after_cursor_execute")
def saw(connection, cursor, statement, *rest):
    made.append("CREATE TABLE" in statement)
    if sum(made) == 20:
        os.kill(os.getpid(), signal.SIGKILL)


with Server(sys.argv[1]).client():
    pass
"""


@pytest.mark.slow
def test_a_process_killed_while_it_makes_the_database_leaves_nothing_in_the_way(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/new.db"
    killed = subprocess.run([sys.executable, "-c", KILLED, uri], capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert MlflowTracker(uri, project="p").start("r1", name="r1", tags={})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new.db", "new.db.lock"]


CHILD = """
import mlflow

with mlflow.start_run():
    mlflow.log_metric("own", 0.5)
    mlflow.log_param("own", "yes")
mlflow.end_run()
"""

LOGGER = """
import mlflow

mlflow.log_metric("own", 0.5)
mlflow.log_param("own", "yes")
"""

FAILING = """
import mlflow

with mlflow.start_run():
    mlflow.log_metric("own", 0.5)
    mlflow.log_param("own", "yes")
    raise SystemExit(3)
"""


@pytest.mark.slow
@pytest.mark.parametrize("child", [CHILD, LOGGER, FAILING], ids=["start_run", "log_metric", "failing"])
def test_what_a_stage_logs_by_itself_lands_in_the_run(place: Path, tmp_path: Path, child: str) -> None:
    uri = f"sqlite:///{place}/mlflow.db"
    tracker = MlflowTracker(uri, project="digits", artifacts=place / "artifacts")
    tracked = tracker.start(f"run of {tmp_path.name}", name="parent", tags={})
    bare = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW", "SHIPWAY"))}
    done = subprocess.run(
        [sys.executable, "-c", child],
        env={**bare, **tracker.environment(tracked)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert done.returncode == (3 if child is FAILING else 0), done.stderr
    tracker.log(tracked, metrics=[TrackedMetric(name="ours", value=1.0, at=2.0)])
    assert see_mlflow(uri, tracked, tmp_path).state in ("FINISHED", "FAILED")
    tracker.finish(tracked, RunState.CANCELLED)
    seen = see_mlflow(uri, tracked, tmp_path)
    assert seen.state == "KILLED"
    assert seen.name == "parent"
    assert {name: found[0][1] for name, found in seen.metrics.items()} == {"own": 0.5, "ours": 1.0}
    assert seen.params == {"own": "yes"}
    assert [path.name for path in tmp_path.iterdir()] == []
