"""
Leases inside a transaction: who may write in whose name, and until when.

The stored row is the truth, not the `Lease` that a caller holds: one that another thread has renewed is still good. A row is never
deleted, so epochs only grow. It stays locked until the transaction ends, so nobody can claim between the check and the commit.
"""

from datetime import timedelta

from shipway.errors import ConflictError, LeaseLostError, UsageError
from shipway.journal.database import Transaction
from shipway.specs.runs import Lease

RUN_PREFIX = "run/"


class Leases:
    """The lease table within one transaction; `lock` is the database's way to lock rows that are read."""

    def __init__(self, transaction: Transaction, lock: str) -> None:
        self._transaction = transaction
        self._lock = lock

    def claim(self, name: str, owner: str, ttl: timedelta) -> Lease:
        """
        Take it if nobody has it. Raises ConflictError, also where `owner` itself has it.

        A second claim by the same owner is a second thread or a forgotten lease, and two must not drive one run.
        """
        # Two that claim a name for the first time both need a row to lock.
        self._transaction.change(
            "INSERT INTO shipway_lease (name, owner, epoch, expires) VALUES (?, '', 0, 0) ON CONFLICT (name) DO NOTHING",
            name,
        )
        held = self._locked(name)
        assert held is not None, "the row was made above, and rows are never deleted"
        now = self._transaction.now()
        if held.expires > now:
            raise ConflictError(
                f"{name} is held by {held.owner} for another {held.expires - now:.0f} s",
                hint="wait for it to finish; if it died, its lease ends by itself",
            )
        taken = Lease(name=name, owner=owner, epoch=held.epoch + 1, expires=now + ttl.total_seconds())
        self._write(taken)
        return taken

    def check(self, lease: Lease) -> Lease:
        """The lease as it stands, locked. Raises LeaseLostError."""
        held = self._locked(lease.name)
        if held is None or held.epoch != lease.epoch or held.owner != lease.owner:
            owner = "nobody" if held is None else held.owner
            raise LeaseLostError(
                f"{lease.name} is no longer ours: {owner} took it", hint="this driver stops here; the other one goes on"
            )
        if held.expires <= self._transaction.now():
            raise LeaseLostError(
                f"our lease on {lease.name} has ended", hint="it was not renewed in time; resume the run"
            )
        return held

    def renew(self, lease: Lease, ttl: timedelta) -> Lease:
        """Push its end out, never in. Raises LeaseLostError."""
        held = self.check(lease)
        until = max(held.expires, self._transaction.now() + ttl.total_seconds())
        renewed = Lease(name=held.name, owner=held.owner, epoch=held.epoch, expires=until)
        self._write(renewed)
        return renewed

    def release(self, lease: Lease) -> None:
        """End it now if it is ours."""
        self._transaction.change(
            "UPDATE shipway_lease SET expires = 0 WHERE name = ? AND owner = ? AND epoch = ?",
            lease.name,
            lease.owner,
            lease.epoch,
        )

    def holder(self, name: str) -> Lease | None:
        """Who has it now."""
        held = self._read(name, "")
        return held if held is not None and held.expires > self._transaction.now() else None

    def _locked(self, name: str) -> Lease | None:
        return self._read(name, self._lock)

    def _read(self, name: str, lock: str) -> Lease | None:
        rows = self._transaction.rows(f"SELECT owner, epoch, expires FROM shipway_lease WHERE name = ? {lock}", name)
        if not rows:
            return None
        owner, epoch, expires = rows[0]
        return Lease(name=name, owner=owner, epoch=epoch, expires=expires)

    def _write(self, lease: Lease) -> None:
        self._transaction.change(
            "UPDATE shipway_lease SET owner = ?, epoch = ?, expires = ? WHERE name = ?",
            lease.owner,
            lease.epoch,
            lease.expires,
            lease.name,
        )


def run_of(lease: Lease) -> str:
    """The run that a lease is for."""
    if not lease.name.startswith(RUN_PREFIX):
        raise UsageError(f"the lease {lease.name} is not a run's", hint="a run's lease is named run/<id>")
    return lease.name[len(RUN_PREFIX) :]
