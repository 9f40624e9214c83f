"""
One process of a race between many, for `journal_conformance`: it says "ready", waits for a line, acts, and prints what it got as JSON.

    python -m shipway.testing.journal_racer OPENER LOCATION ACT [LEASE]

OPENER is `module:function`, LOCATION goes to it, LEASE is a lease as JSON.
"""

import json
import os
import pkgutil
import sys
from collections.abc import Callable
from datetime import timedelta

import msgspec

from shipway.errors import ConflictError, LeaseLostError
from shipway.journal.base import Journal
from shipway.specs.runs import Lease, Run, StageRow, StageState
from shipway.specs.trees import digest_of

LONG = timedelta(minutes=5)
ROUNDS = 10


def sample_run(name: str, created: float = 1.0, project: str = "digits") -> Run:
    """A run of that id."""
    return Run(id=name, project=project, plan=digest_of(b"plan"), request={"jobs": 2}, created=created)


def opens(journal: Journal, lease: Lease | None) -> object:
    """Use a place that was new a moment ago, together with others."""
    journal.create(sample_run(f"r{os.getpid()}"))
    return len(journal.list(limit=1000)) >= 1


def claims(journal: Journal, lease: Lease | None) -> object:
    """Try once to get what only one can have. Returns the epoch, or None."""
    try:
        return journal.claim("run/r1", f"p{os.getpid()}", LONG).epoch
    except ConflictError:
        return None


def hands_over(journal: Journal, lease: Lease | None) -> object:
    """Claim and release, several times. Returns the epochs."""
    epochs: list[int] = []
    while len(epochs) < ROUNDS:
        try:
            taken = journal.claim("run/r1", f"p{os.getpid()}", LONG)
        except ConflictError:
            continue
        journal.save_stage(taken, StageRow(run="r1", name=f"e{taken.epoch}", state=StageState.RUNNING))
        journal.release(taken)
        epochs.append(taken.epoch)
    return epochs


def records(journal: Journal, lease: Lease | None) -> object:
    """Write the same step and the same parcel as the others. Returns the step's value that stands."""
    assert lease is not None
    journal.post(lease, "metrics", {"by": os.getpid()}, once="final")
    return journal.record(lease, "pack", os.getpid())


def notes(journal: Journal, lease: Lease | None) -> object:
    """Append events. Returns their numbers."""
    return [journal.note("r1", "tick", {"by": os.getpid(), "n": n}).seq for n in range(ROUNDS)]


def writes(journal: Journal, lease: Lease | None) -> object:
    """Record steps until killed, and print each number once it is written."""
    assert lease is not None
    for number in range(100_000):
        journal.record(lease, f"s{number}", number)
        print(number, flush=True)
    return None


def overstays(journal: Journal, lease: Lease | None) -> object:
    """Go on writing with a lease that others have taken. Returns whether that was refused."""
    assert lease is not None
    try:
        journal.record(lease, "stale", os.getpid())
    except LeaseLostError:
        return True
    return False


ACTS: dict[str, Callable[[Journal, Lease | None], object]] = {
    act.__name__: act for act in (opens, claims, hands_over, records, notes, writes, overstays)
}


def main(opener: str, location: str, act: str, lease: str = "null") -> None:
    """Run one act."""
    print("ready", flush=True)
    sys.stdin.readline()
    journal: Journal = pkgutil.resolve_name(opener)(location)
    held = msgspec.json.decode(lease, type=Lease | None)
    print(json.dumps(ACTS[act](journal, held)), flush=True)
    journal.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
