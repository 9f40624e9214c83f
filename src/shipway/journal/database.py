"""A database that the journal can live in: pooled connections, transactions, a clock. The port between `sql.py` and its two connectors."""

import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

Row = Sequence[Any]
"""One row of an answer; its types are those of the columns."""


class Transaction(Protocol):
    """One open transaction; `sql` has `?` for each parameter."""

    def rows(self, sql: str, *parameters: object) -> Sequence[Row]:
        """Run a query."""

    def change(self, sql: str, *parameters: object) -> int:
        """Run a statement; returns the number of rows that it changed."""

    def now(self) -> float:
        """Seconds since the epoch on the clock that leases are judged by."""


class Connection(Transaction, Protocol):
    """
    A transaction's connection; used by one thread at a time, begun and ended by the pool.

    Its verbs raise ShipwayError only: foreign errors are mapped here.
    """

    def begin(self, *, write: bool, lasting: bool = True) -> None:
        """Start a transaction; a writing one keeps other writers of the same rows out until it ends."""

    def end(self, *, keep: bool) -> None:
        """Commit, or roll back."""

    def close(self) -> None:
        """Give it back; never raises."""


class Database(ABC):
    """A pool of connections. Threads take one for the length of a transaction; a forked child starts with none."""

    serial: str
    """The column type of a number that grows with each row."""
    lock: str
    """Added to a SELECT so that the rows it returns stay locked until the transaction ends."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._idle: list[Connection] = []
        self._generation = 0
        self._process = os.getpid()

    @abstractmethod
    def connect(self) -> Connection:
        """Open one more connection."""

    @abstractmethod
    def exists(self, transaction: Transaction, table: str) -> bool:
        """Whether there is such a table."""

    @abstractmethod
    def lock_schema(self, transaction: Transaction) -> None:
        """Keep every other process from making tables until the transaction ends."""

    @contextmanager
    def reading(self) -> Iterator[Transaction]:
        """A transaction that changes nothing."""
        with self._transaction(write=False) as transaction:
            yield transaction

    @contextmanager
    def writing(self, *, lasting: bool = True) -> Iterator[Transaction]:
        """
        A transaction that is committed unless the block raises.

        Not `lasting`: it outlives the death of any process, but the machine losing power may take it back, since the commit doesn't wait for
        the disk. For what is only told, or found out again by the next driver.
        """
        with self._transaction(write=True, lasting=lasting) as transaction:
            yield transaction

    def close(self) -> None:
        """Close idle connections at once and those in use when they come back."""
        with self._guard:
            self._generation += 1
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    @contextmanager
    def _transaction(self, *, write: bool, lasting: bool = True) -> Iterator[Transaction]:
        connection, generation = self._begun(write=write, lasting=lasting)
        try:
            yield connection
            connection.end(keep=True)
        except BaseException:
            self._abandon(connection, generation)
            raise
        self._give_back(connection, generation)

    def _begun(self, *, write: bool, lasting: bool) -> tuple[Connection, int]:
        """A connection with an open transaction; an idle one may have been cut since, so the last resort is a new one."""
        while True:
            connection, generation = self._take()
            fresh = connection is None
            connection = connection or self.connect()
            try:
                connection.begin(write=write, lasting=lasting)
            except BaseException as error:
                connection.close()
                if fresh or not getattr(error, "transient", False):
                    raise
            else:
                return connection, generation

    def _take(self) -> tuple[Connection | None, int]:
        with self._guard:
            if self._process != os.getpid():
                # The parent's connections: using or closing them here would break them there, so they are only let go of.
                _ORPHANS.extend(self._idle)
                self._idle, self._process = [], os.getpid()
            return (self._idle.pop() if self._idle else None), self._generation

    def _abandon(self, connection: Connection, generation: int) -> None:
        try:
            connection.end(keep=False)
        except Exception:  # the first error is the one to tell; a connection that cannot roll back is of no more use
            connection.close()
        else:
            self._give_back(connection, generation)

    def _give_back(self, connection: Connection, generation: int) -> None:
        with self._guard:
            wanted = generation == self._generation
            if wanted:
                self._idle.append(connection)
        if not wanted:
            connection.close()


_ORPHANS: list[Connection] = []
