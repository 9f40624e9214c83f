"""Model versions and the verdicts that let them in."""

from collections.abc import Mapping
from enum import StrEnum

import msgspec

from shipway.specs.trees import Digest


class Triple(msgspec.Struct, frozen=True, kw_only=True):
    """The pinned origin of a result: code SHA (with "+dirty" and a tree digest where the work tree had changes), data, environment."""

    code: str
    data: str
    environment: str


class ModelVersion(msgspec.Struct, frozen=True, kw_only=True):
    """What a gate let into the registry. `version` is None until the registry has given it one."""

    name: str
    tree: Digest
    triple: Triple
    key: Digest
    """The key of the stage that made the model."""
    run: str
    version: str | None = None
    metrics: Mapping[str, float] = {}
    verdict: str | None = None
    aliases: tuple[str, ...] = ()
    created: float | None = None


CHAMPION = "champion"
CHALLENGER = "challenger"


class Outcome(StrEnum):
    """A gate's verdict, and each condition's."""

    OPEN = "open"
    HELD = "held"
    ERROR = "error"


class Condition(msgspec.Struct, frozen=True, kw_only=True):
    """One condition as judged. `left` and `right` are both sides' numbers; None where the condition is no comparison or could not be judged."""

    text: str
    outcome: Outcome
    left: float | None = None
    right: float | None = None
    note: str | None = None


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """`champion` is the version that the challenger was measured against; None where it is the first model."""

    outcome: Outcome
    conditions: tuple[Condition, ...] = ()
    champion: str | None = None
