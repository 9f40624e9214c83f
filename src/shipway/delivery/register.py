"""Put a model version into the registry, and point aliases at it; both acts may be repeated."""

import tempfile
from pathlib import Path

import msgspec

from shipway.errors import UsageError
from shipway.specs.models import CHALLENGER, CHAMPION, ModelVersion
from shipway.store.base import Store
from shipway.tracking.base import ModelRegistry


def register(
    registry: ModelRegistry, version: ModelVersion, store: Store, tracked: str | None, *, file_name: str = "model"
) -> ModelVersion:
    """
    Register the version's tree, unless it is there with the same triple, and make it the challenger.

    `tracked` is the tracker's run to attach it to. `file_name` is what the registry calls a model that is one file, whose name the
    tree does not hold (`model.joblib`). Returns the version with its number. Raises UsageError, NotFoundError, UnavailableError.
    """
    if not store.tree(version.tree).entries:
        raise UsageError(
            f"model {version.name} is an empty directory", hint="does its stage write where `model.path` says?"
        )
    with tempfile.TemporaryDirectory(prefix="shipway-model-") as place:
        source = Path(place) / file_name
        store.checkout(version.tree, source)
        registered = registry.register(version, source, tracked=tracked)
    if registered.version is None:
        raise UsageError(f"the registry gave model {version.name} no number")
    if CHALLENGER in registered.aliases:
        return registered
    registry.promote(version.name, registered.version, CHALLENGER)
    return msgspec.structs.replace(registered, aliases=tuple(sorted({*registered.aliases, CHALLENGER})))


def promote_champion(registry: ModelRegistry, name: str, version: str) -> None:
    """Make the version with that number the champion. Raises NotFoundError."""
    registry.promote(name, version, CHAMPION)
