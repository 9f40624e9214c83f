"""The port to a place where a model serves; every implementation passes `shipway.testing.endpoint_conformance`."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from enum import StrEnum
from typing import ClassVar

from shipway.specs.releases import Release, Rollout


class Capability(StrEnum):
    """What an endpoint may lack."""

    CANARY = "canary"
    """Can send a share of the traffic between 1 and 99 percent to a revision."""
    SCALE = "scale"


class Endpoint(ABC):
    """
    One named endpoint; state lies on the far side, so any instance in any process answers for it.

    A rollout is `apply` (the revision starts beside what serves), `rollout` until it is READY, verification at the revision's own URL,
    then `shift` to 100. Callers hold the journal's lease `endpoint/<project>/<name>` from apply to shift.
    """

    kind: ClassVar[str]
    capabilities: ClassVar[frozenset[Capability]]

    @abstractmethod
    def render(self, release: Release) -> str:
        """Return the native request as text, without secrets. Pure."""

    def check(self) -> None:
        """Raise RolloutError where it is plain already that nothing could be rolled out, such as a port that another program holds."""
        return

    @abstractmethod
    def apply(self, release: Release) -> None:
        """Start the revision beside the one that serves and return; repeatable, an ended or failed revision is started anew. Raises RolloutError."""

    @abstractmethod
    def rollout(self) -> Rollout:
        """What runs and what serves, as the far side says now."""

    @abstractmethod
    def shift(self, revision: str, percent: int) -> None:
        """
        Send `percent` of the traffic to a READY or SERVING revision; at 100 the one that served before drains and ends.

        Returns when the public URL answers by it; no request fails on the way. Raises NotFoundError, RolloutError, UnsupportedError for a share
        without CANARY.
        """

    @abstractmethod
    def release(self, revision: str) -> Release:
        """
        Return a kept revision as it was applied, so that it can be applied again; raises NotFoundError.

        Secrets come back by name with an empty value, and an empty value in `apply` stands for the one that the far side still knows.
        """

    @abstractmethod
    def logs(self, revision: str | None = None, *, follow: bool = False) -> Iterator[bytes]:
        """Lines of a revision's output; None: the serving one. Raises NotFoundError."""

    @abstractmethod
    def remove(self, revision: str | None = None) -> None:
        """End and forget one revision, or the whole endpoint. The serving revision goes with the endpoint only. Repeatable."""
