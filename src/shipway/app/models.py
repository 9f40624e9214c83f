"""Model versions as the registry has them."""

from collections.abc import Sequence

from shipway.app.opened import Opened
from shipway.delivery.ship import model_of
from shipway.errors import NotFoundError
from shipway.specs.models import CHAMPION, ModelVersion


def versions(opened: Opened) -> Sequence[ModelVersion]:
    """All versions of the project's model, newest first."""
    return opened.tracking[1].versions(model_of(opened.project).name)


def promote(opened: Opened, which: str, alias: str = CHAMPION) -> ModelVersion:
    """Point an alias at the version with that number or alias. Raises NotFoundError."""
    name = model_of(opened.project).name
    registry = opened.tracking[1]
    found = registry.resolve(name, which)
    if found is None or found.version is None:
        raise NotFoundError(f"model {name} has no version {which!r}", hint="`shipway models` lists them")
    registry.promote(name, found.version, alias)
    return found
