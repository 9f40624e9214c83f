"""What MLflow knows after a project was shipped, and what becomes of it while the tracking server is away."""

import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from shipway.app.opened import Opened

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::DeprecationWarning")]
pytest.importorskip("mlflow")
pytest.importorskip("sklearn")

FLOWERS = Path(__file__).parent / "flowers"


@pytest.fixture(scope="module")
def flowers(
    shipway: Any, make_harbour: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    """Shipped twice: with a tree of one level, and with a better one of three."""
    root = make_harbour(tmp_path_factory.mktemp("flowers") / "flowers", FLOWERS)
    for depth in (1, 3):
        done = shipway(root, "ship", "--set", f"train.depth={depth}")
        assert done.returncode == 0, done.stderr
    yield root
    assert shipway(root, "endpoints", "--remove", "here").returncode == 0
    assert shipway.strays(root) == {}


@pytest.fixture(scope="module")
def client(flowers: Path) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(f"sqlite:///{flowers}/.shipway/mlflow.db")


@pytest.fixture(scope="module")
def runs(client: Any) -> list[Any]:
    """Newest first."""
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    return list(client.search_runs(experiments, order_by=["attributes.start_time DESC"]))


def test_one_run_of_ours_is_one_run_there_with_what_it_was_made_of(flowers: Path, runs: list[Any]) -> None:
    journal = Opened(flowers).journal
    assert [run.info.run_name for run in runs] == [run.id for run in journal.list()]
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert [run.data.params["train.depth"] for run in runs] == ["3", "1"]
    tags = runs[0].data.tags
    assert tags["shipway.run"] == journal.list()[0].id
    assert len(tags["shipway.code"].partition("+")[0]) == 40
    assert len(tags["shipway.environment"]) == 64
    assert tags["shipway.data"]


def test_metrics_are_there_flat_and_in_steps(runs: list[Any], client: Any) -> None:
    newest = runs[0]
    assert newest.data.metrics["accuracy"] > runs[1].data.metrics["accuracy"]
    assert newest.data.metrics["shape.rows"] == 50
    steps = client.get_metric_history(newest.info.run_id, "train.score")
    assert [metric.step for metric in steps] == [0, 1, 2]


def test_what_a_stage_logs_by_itself_is_in_the_same_run(runs: list[Any]) -> None:
    newer, older = (run.data.metrics["leaves"] for run in runs)
    assert (older, newer > 2) == (2, True)


def test_plots_are_kept_beside_the_run(runs: list[Any], client: Any) -> None:
    assert "curve.svg" in [file.path for file in client.list_artifacts(runs[0].info.run_id)]


def test_the_registered_model_has_both_aliases_and_its_triple(flowers: Path, runs: list[Any], client: Any) -> None:
    model = client.get_registered_model("irises")
    assert {alias: str(version) for alias, version in model.aliases.items()} == {"champion": "2", "challenger": "2"}
    version = client.get_model_version("irises", "2")
    assert version.run_id == runs[0].info.run_id
    text = json.dumps(version.tags)
    assert runs[0].data.tags["shipway.code"] in text
    assert runs[0].data.tags["shipway.environment"] in text


def test_the_model_answers_as_scikit_learn_does(flowers: Path, shipway: Any) -> None:
    samples = json.loads((flowers / "samples.json").read_text())
    (flowers / "rows.json").write_text(json.dumps(samples["instances"]))
    done = shipway(flowers, "predict", "-f", "rows.json", "--json")
    assert json.loads(done.stdout)["predictions"] == samples["predictions"]


def test_rolling_back_moves_the_alias_too(flowers: Path, shipway: Any, client: Any) -> None:
    def champion() -> str:
        return str(client.get_model_version_by_alias("irises", "champion").version)

    done = shipway(flowers, "rollback", "here", "--json")
    assert done.returncode == 0, done.stderr
    try:
        assert champion() == "1"
    finally:
        newer = next(rev["name"] for rev in json.loads(done.stdout)["revisions"] if rev["version"] == "2")
        assert shipway(flowers, "rollback", "here", newer).returncode == 0
    assert champion() == "2"


def test_a_training_succeeds_while_the_tracking_server_is_away(
    shipway: Any, make_harbour: Callable[..., Path], tmp_path: Path
) -> None:
    with socket.socket() as taken:  # bound and not listening: nobody answers, and nobody else gets it
        taken.bind(("127.0.0.1", 0))
        root = make_harbour(tmp_path / "away", tracking=f"http://127.0.0.1:{taken.getsockname()[1]}")
        done = shipway(root, "run")
        assert done.returncode == 0, done.stderr
        assert "shipway track --flush" in done.stderr
        waiting = json.loads(shipway(root, "track", "--json").stdout)["waiting"]
        assert waiting >= 4  # start, parameters, metrics, end
        flushed = shipway(root, "track", "--flush")
        assert flushed.returncode == 4
    file = root / "shipway.yaml"
    file.write_text("".join(line for line in file.read_text().splitlines(keepends=True) if "tracking:" not in line))
    flushed = shipway(root, "track", "--flush")
    assert (flushed.returncode, flushed.stdout.split(",")[0]) == (0, f"sent {waiting}")
    assert json.loads(shipway(root, "track", "--json").stdout) == {"waiting": 0}
