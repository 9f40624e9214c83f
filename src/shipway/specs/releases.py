"""Releases: a model version packed for an endpoint, and what an endpoint says of its revisions."""

from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum

import msgspec

from shipway.specs.models import ModelVersion


class Release(msgspec.Struct, frozen=True, kw_only=True):
    """
    A model version ready to serve.

    `revision` names it on its endpoint for good: `v<version>-<8 digits of the pack's digest>`. `bundle` is a local directory that holds
    `model/` (or `model.<suffix>`) and the serving package; `python` the interpreter of the environment that can load it.
    """

    endpoint: str
    revision: str
    model: ModelVersion
    bundle: str
    python: str
    env: Mapping[str, str] = {}
    secrets: Mapping[str, str] = {}
    startup: timedelta = timedelta(seconds=60)
    drain: timedelta = timedelta(seconds=10)

    def __repr__(self) -> str:
        return f"Release(endpoint={self.endpoint!r}, revision={self.revision!r})"


class RevisionState(StrEnum):
    """States of a revision, in the order in which it passes them."""

    STARTING = "starting"
    READY = "ready"
    """It answers at its own address, but not at the public one."""
    SERVING = "serving"
    DRAINING = "draining"
    ENDED = "ended"
    FAILED = "failed"


class Revision(msgspec.Struct, frozen=True, kw_only=True):
    """`url` is the revision's own address, where verification reaches it before it takes traffic; None when it does not run."""

    name: str
    model: str
    version: str
    state: RevisionState
    percent: int = 0
    url: str | None = None
    reason: str | None = None
    created: float | None = None
    pid: int | None = None


class Rollout(msgspec.Struct, frozen=True, kw_only=True):
    """All revisions that an endpoint knows, newest first, and its public URL (None: it has never served)."""

    endpoint: str
    url: str | None
    revisions: tuple[Revision, ...] = ()

    @property
    def serving(self) -> Revision | None:
        return next((rev for rev in self.revisions if rev.state is RevisionState.SERVING), None)
