"""Which tracker and which registry a project has; neither imports MLflow before its first use."""

from pathlib import Path

from shipway.store.base import Store
from shipway.tracking.base import ModelRegistry, Tracker
from shipway.tracking.uris import OFF, tracking_uri


def open_tracking(uri: str | None, *, home: Path, store: Store, project: str) -> tuple[Tracker, ModelRegistry]:
    """
    Return both for the `tracking` of `shipway.yaml`; `home` is the project's `.shipway` directory.

    None: MLflow on SQLite in `home`. "off": no tracker, and the registry lies in the store. Raises ConfigError.
    """
    if uri == OFF:
        from shipway.tracking.local import NullTracker, StoreRegistry

        return NullTracker(), StoreRegistry(store)
    from shipway.tracking.mlflow import MlflowTracker
    from shipway.tracking.mlflow_registry import MlflowRegistry

    full, artifacts = tracking_uri(uri, home), home.absolute() / "mlartifacts"
    return MlflowTracker(full, project=project, artifacts=artifacts), MlflowRegistry(
        full, project=project, artifacts=artifacts
    )
