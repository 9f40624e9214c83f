"""What the engine works with, and what it is asked to do."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import msgspec

from shipway.backends.base import Backend
from shipway.images.base import EnvironmentBuilder
from shipway.journal.base import Journal
from shipway.pipeline.retry import Clock
from shipway.pipeline.session import Session
from shipway.specs.stages import Stage
from shipway.specs.trees import Digest
from shipway.store.base import Store


class Tools(NamedTuple):
    """What the engine works with; `app` puts it together, tests put fakes in."""

    store: Store
    journal: Journal
    environments: EnvironmentBuilder
    backend: Callable[[str], Backend]
    """The backend of a site by the site's name."""
    secret: Callable[[str], str]
    """The value of a secret by its name. Raises ConfigError if it is not set."""
    tracking: Callable[[Session, Stage], Mapping[str, str]]
    """Variables by which a stage's own logging reaches the tracker."""
    tracking_secrets: Callable[[Stage], Mapping[str, str]]
    """Those of them that must not be seen."""
    clock: Clock


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """A stage to be brought to its result under a name of its own in the run (`evaluate@champion` is evaluate with another model)."""

    name: str
    stage: Stage
    outputs: Mapping[str, Digest]
    """The trees of other stages' outputs, by path."""
    force: bool = False
