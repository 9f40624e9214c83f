"""The journal on SQLite: one file, safe for the processes of one machine."""

import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

from shipway.errors import CorruptError, ShipwayError, UnavailableError
from shipway.journal.database import Connection, Database, Row, Transaction

_PATIENCE = 30.0
"""Seconds to wait for other writers before we say that the journal does not answer."""

_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_CORRUPT = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class SqliteDatabase(Database):
    """`clock` is for tests; leases live by this machine's clock, which all processes that can open the file share."""

    serial = "INTEGER PRIMARY KEY AUTOINCREMENT"
    lock = ""

    def __init__(self, path: Path, *, clock: Callable[[], float] | None = None, patience: float = _PATIENCE) -> None:
        super().__init__()
        self.path = path
        self._clock = clock or time.time
        self._patience = patience

    def __repr__(self) -> str:
        return f"SqliteDatabase({str(self.path)!r})"

    def connect(self) -> Connection:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            raw = sqlite3.connect(self.path, timeout=self._patience, isolation_level=None, check_same_thread=False)
        except OSError as error:
            raise ShipwayError(
                f"cannot make the journal's directory {self.path.parent}: {error.strerror}",
                hint="check its owner and permissions",
            ) from error
        except sqlite3.Error as error:
            raise explained(error, self.path) from error
        try:
            _tune(raw, self._patience)
        except sqlite3.Error as error:
            raw.close()
            raise explained(error, self.path) from error
        return _SqliteConnection(raw, self.path, self._clock)

    def exists(self, transaction: Transaction, table: str) -> bool:
        return bool(transaction.rows("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", table))

    def lock_schema(self, transaction: Transaction) -> None:
        """Nothing to do: a writing transaction has the whole file."""


class _SqliteConnection:
    def __init__(self, raw: sqlite3.Connection, path: Path, clock: Callable[[], float]) -> None:
        self._raw = raw
        self._path = path
        self._lasting = True
        self.now = clock

    def rows(self, sql: str, *parameters: object) -> list[Row]:
        try:
            return self._raw.execute(sql, parameters).fetchall()
        except sqlite3.Error as error:
            raise explained(error, self._path) from error

    def change(self, sql: str, *parameters: object) -> int:
        try:
            return self._raw.execute(sql, parameters).rowcount
        except sqlite3.Error as error:
            raise explained(error, self._path) from error

    def begin(self, *, write: bool, lasting: bool = True) -> None:
        if write and lasting is not self._lasting:
            self.change(f"PRAGMA synchronous = {'FULL' if lasting else 'NORMAL'}")
            self._lasting = lasting
        # IMMEDIATE: a transaction that reads first and writes later could not be made to wait, only to fail.
        self.change("BEGIN IMMEDIATE" if write else "BEGIN")

    def end(self, *, keep: bool) -> None:
        # After some errors (disk full) SQLite has rolled back by itself.
        if keep or self._raw.in_transaction:
            self.change("COMMIT" if keep else "ROLLBACK")

    def close(self) -> None:
        self._raw.close()


def _tune(raw: sqlite3.Connection, patience: float) -> None:
    """
    Set what each connection needs: a write-ahead log, and a disk that has it before a commit returns.

    The first switch to WAL fails at once, without SQLite's own patience, while another process is about to write; so it is tried again.
    """
    raw.execute("PRAGMA synchronous = FULL")
    deadline = time.monotonic() + patience
    while True:
        try:
            raw.execute("PRAGMA journal_mode = WAL").fetchone()
        except sqlite3.OperationalError as error:
            if _code(error) not in _BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.005)
        else:
            return


def _code(error: sqlite3.Error) -> int | None:
    """The primary result code; None where the error is Python's own."""
    code: int | None = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF


def explained(error: sqlite3.Error, path: Path) -> ShipwayError:
    """SQLite's error in our words."""
    code = _code(error)
    if code in _BUSY:
        return UnavailableError(
            f"the journal {path} is locked by another process",
            hint="another shipway writes to it, or one was stopped (Ctrl-Z) in the middle of a write; try again",
        )
    if code in _CORRUPT:
        return CorruptError(
            f"the journal {path} is damaged or no SQLite file ({error})",
            hint=f"move it away (with {path.name}-wal and {path.name}-shm); a new one is made, and results in the store are not lost",
        )
    if code == sqlite3.SQLITE_FULL:
        return ShipwayError(
            f"the journal {path} cannot be written: the disk is full", hint="free some space, then resume the run"
        )
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM):
        return ShipwayError(
            f"the journal {path} is read-only", hint="check the owner and permissions of the file and its directory"
        )
    if code == sqlite3.SQLITE_CANTOPEN:
        return ShipwayError(
            f"the journal {path} cannot be opened", hint="check that it is a file, and the permissions of its directory"
        )
    if code == sqlite3.SQLITE_IOERR:
        return UnavailableError(f"the journal {path} cannot be read or written: {error}", hint="check the disk")
    return ShipwayError(f"the journal {path}: {error}")
