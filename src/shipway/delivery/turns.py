"""Rollouts to one endpoint take turns, whichever process on whichever machine begins them."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from shipway.errors import ConflictError
from shipway.journal.base import Journal
from shipway.pipeline.engine import Owner
from shipway.pipeline.retry import Clock
from shipway.specs.runs import Lease

_TURN = timedelta(minutes=10)
"""How long a rollout may hold its endpoint, and how long the next one waits for its turn."""


@contextmanager
def endpoint_turn(journal: Journal, owner: Owner, endpoint: str, clock: Clock) -> Iterator[Lease]:
    """
    Hold the endpoint (`<project>/<name>`) alone; the turn of a process that is known to be dead is over.

    Raises ConflictError after ten minutes of waiting.
    """
    name = f"endpoint/{endpoint}"
    deadline = clock.now() + _TURN.total_seconds()
    while True:
        held = journal.holder(name)
        if held is not None and owner.dead(held.owner):
            journal.release(held)
        try:
            lease = journal.claim(name, owner.name, _TURN)
            break
        except ConflictError:
            if clock.now() > deadline:
                raise
        clock.sleep(0.5)
    try:
        yield lease
    finally:
        journal.release(lease)
