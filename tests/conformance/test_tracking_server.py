"""The tracking suites on a real MLflow server over HTTP, whose UI is looked at on the way."""

import os
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from shipway.errors import UnsupportedError
from shipway.testing.tracking_conformance import RegistryConformance, Seen, TrackerConformance
from shipway.tracking.base import ModelRegistry, Tracker
from shipway.tracking.mlflow import STATES, MlflowTracker
from shipway.tracking.mlflow_client import Server
from shipway.tracking.mlflow_registry import MlflowRegistry
from shipway.tracking.ui import EXECUTABLE, serve_ui

PEER = Path(__file__).parents[2] / "build" / "peers" / "mlflow" / "bin" / "mlflow"
"""Where `make bench` puts the full MLflow."""

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server that ends with the tests."""
    pytest.importorskip("mlflow", reason="needs shipway[mlflow]")
    if PEER.exists():
        os.environ.setdefault(EXECUTABLE, str(PEER))
    try:
        ui = serve_ui(None, home=tmp_path_factory.mktemp("server") / ".shipway", port=0)
    except UnsupportedError as error:
        if os.environ.get("CI") == "true":
            pytest.fail(f"{error} ({error.hint})")
        pytest.skip(f"{error} ({error.hint})")
    with ui:
        yield ui.url


class OnServer:
    @pytest.fixture(autouse=True)
    def _url(self, url: str, tmp_path: Path) -> None:
        self.url, self.tmp_path = url, tmp_path


class TestMlflowServerTracker(OnServer, TrackerConformance):
    states = STATES
    starts_once = False

    def open(self) -> Tracker:
        return MlflowTracker(self.url, project="digits")

    def see(self, tracked: str) -> Seen:
        (self.tmp_path / "seen").mkdir(exist_ok=True)
        with Server(self.url).client() as client:
            run = client.get_run(tracked)
            history = {name: client.get_metric_history(tracked, name) for name in run.data.metrics}
            root = Path(client.download_artifacts(tracked, "", str(self.tmp_path / "seen")))
        return Seen(
            name=run.info.run_name,
            state=run.info.status,
            params=run.data.params,
            tags=run.data.tags,
            metrics={name: [(one.step, one.value) for one in found] for name, found in history.items()},
            artifacts={str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()},
        )

    def test_the_ui_is_a_page(self) -> None:
        with urllib.request.urlopen(f"{self.url}/") as answer:
            assert b"<html" in answer.read(200)


class TestMlflowServerRegistry(OnServer, RegistryConformance):
    def open(self) -> ModelRegistry:
        return MlflowRegistry(self.url, project="digits")
