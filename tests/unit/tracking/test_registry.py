"""Which tracker and registry a project gets, and that MLflow stays away until it is needed."""

import subprocess
import sys
from pathlib import Path

import pytest

from shipway.errors import UnavailableError
from shipway.store.directory import DirectoryStore
from shipway.tracking.local import NullTracker, StoreRegistry
from shipway.tracking.mlflow import MlflowTracker
from shipway.tracking.mlflow_registry import MlflowRegistry
from shipway.tracking.registry import open_tracking

LAZY = """
import sys
from pathlib import Path
import shipway.pipeline.feed, shipway.pipeline.metrics, shipway.pipeline.parcels, shipway.delivery.register, shipway.tracking.ui
from shipway.store.directory import DirectoryStore
from shipway.tracking.registry import open_tracking

for uri in (None, "off", "http://127.0.0.1:9"):
    tracker, registry = open_tracking(uri, home=Path(sys.argv[1]), store=DirectoryStore(Path(sys.argv[2])), project="p")
    tracker.environment(None)
print([name for name in ("mlflow", "sqlalchemy", "requests", "asyncio", "numpy") if name in sys.modules])
"""

MISSING = """
import sys
sys.modules["mlflow"] = None
from shipway.errors import UnavailableError
from shipway.tracking.mlflow import MlflowTracker
try:
    MlflowTracker("sqlite:////tmp/never.db", project="p").start("r", name="r", tags={})
except UnavailableError as error:
    print(error.transient, error.hint)
"""


def test_tracking_off_keeps_models_in_the_store_and_forgets_runs(tmp_path: Path) -> None:
    tracker, registry = open_tracking("off", home=tmp_path, store=DirectoryStore(tmp_path / "store"), project="p")
    assert isinstance(tracker, NullTracker)
    assert isinstance(registry, StoreRegistry)
    tracker.log(tracker.start("r1", name="r1", tags={}), params={"a": "1"})
    assert tracker.environment("r1")["MLFLOW_DISABLE_TELEMETRY"] == "true"


def test_without_a_setting_mlflow_lies_in_the_projects_home(tmp_path: Path) -> None:
    tracker, registry = open_tracking(None, home=tmp_path / ".shipway", store=DirectoryStore(tmp_path), project="p")
    assert isinstance(tracker, MlflowTracker)
    assert isinstance(registry, MlflowRegistry)
    assert tracker.environment(None) == {
        "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/.shipway/mlflow.db",
        "MLFLOW_EXPERIMENT_NAME": "p",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
        "GIT_PYTHON_REFRESH": "quiet",
    }
    assert tracker.environment("id")["MLFLOW_RUN_ID"] == "id"
    assert not (tmp_path / ".shipway").exists()


def test_nothing_heavy_is_imported_before_the_first_use(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LAZY, tmp_path / ".shipway", tmp_path / "store"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


def test_a_missing_mlflow_is_away_and_not_an_end(tmp_path: Path) -> None:
    """So that what it should have been told is kept until it is installed."""
    done = subprocess.run([sys.executable, "-c", MISSING], capture_output=True, text=True, timeout=400)
    assert done.stdout.startswith("True"), done.stderr
    assert "shipway[mlflow]" in done.stdout


def test_a_database_that_cannot_be_opened_is_away(tmp_path: Path) -> None:
    pytest.importorskip("mlflow", reason="needs shipway[mlflow]")
    (tmp_path / "mlflow.db").write_bytes(b"this is not a database" * 100)
    with pytest.raises(UnavailableError, match="not a database"):
        MlflowTracker(f"sqlite:///{tmp_path}/mlflow.db", project="p").start("r1", name="r1", tags={})
