"""
What was hashed before, one file for each scanned root: stat data → digest, and the digest of whole trees by all their stat data.

It is only ever a saving: whatever cannot be read, or is not sealed, is as good as empty, and a lost update costs a rehash.
"""

import hashlib
import os
import time
from collections.abc import Sequence

import msgspec

from shipway.errors import CorruptError
from shipway.specs.trees import Digest
from shipway.store.durable import seal, temporary, unlink, unseal
from shipway.store.trees import check_path
from shipway.store.walking import Row

_KEPT_SUMMARIES = 32
_KEPT_DAYS = 60
_MARGIN_NS = 2_000_000_000
"""The coarsest clock of a file system that we meet (FAT's)."""

Known = tuple[int, int, int, int, int, bytes]
"""size, mtime_ns, ctime_ns, inode, mode, SHA-256."""


class Summary(msgspec.Struct, frozen=True, array_like=True):
    """All that a plan asks of a tree."""

    digest: Digest
    files: int
    size: int
    code: bool


class _Stored(msgspec.Struct, array_like=True):
    summaries: dict[bytes, Summary]
    table: bytes


_decode = msgspec.msgpack.Decoder(_Stored).decode
_decode_table = msgspec.msgpack.Decoder(dict[str, Known]).decode
_encode = msgspec.msgpack.encode


def row_signature(rows: Sequence[Row]) -> bytes:
    """One digest of all stat data. Raises UnsafePathError for a name that is not UTF-8."""
    try:
        return hashlib.sha256(_encode(rows)).digest()
    except UnicodeEncodeError:
        for row in rows:
            check_path(row[0].removesuffix("/"))
        raise


def settled(row: Row, hashed_ns: int) -> bool:
    """
    Whether a write after `hashed_ns` must show in the stat data.

    A file that changed within the clock's grain of that moment may change again without a trace (git's "racy" entries). A
    modification time that lies well in the future was set by hand and says nothing; the change time can't be.
    """
    limit = hashed_ns - _MARGIN_NS
    return row[3] < limit and not limit <= row[2] <= hashed_ns + _MARGIN_NS


class Memory:
    """The cache of one root."""

    def __init__(self, directory: str, root: str) -> None:
        self._directory = directory
        self._path = f"{directory}/{hashlib.sha256(os.fsencode(root)).hexdigest()[:32]}"
        self._stored = self._load()
        self._table: dict[str, Known] | None = None
        self._dirty = False

    def summary(self, signature: bytes) -> Summary | None:
        return self._stored.summaries.get(signature)

    @property
    def table(self) -> dict[str, Known]:
        if self._table is None:
            self._table = _decode_table(self._stored.table) if self._stored.table else {}
        return self._table

    def learn(self, known: dict[str, Known], *, whole: bool) -> None:
        """Take in what was hashed. `whole`: nothing else lies below this root, so that what is gone can be forgotten."""
        table = self.table
        if whole or len(table) > 4 * len(known) + 10_000:
            table.clear()
        table.update(known)
        self._dirty = True

    def summarise(self, signature: bytes, summary: Summary) -> None:
        summaries = self._stored.summaries
        summaries[signature] = summary
        for old in list(summaries)[:-_KEPT_SUMMARIES]:
            del summaries[old]
        self._dirty = True

    def save(self) -> None:
        if not self._dirty:
            return
        self._stored.table = _encode(self.table)
        name = temporary(self._directory)
        try:
            with open(name, "xb") as file:
                file.write(seal(_encode(self._stored)))  # no fsync: a torn file is not sealed
            os.rename(name, self._path)
        finally:
            unlink(name)
        self._dirty = False

    def _load(self) -> _Stored:
        try:
            with open(self._path, "rb") as file:
                return _decode(unseal(file.read(), "stat cache"))
        except (OSError, CorruptError, msgspec.MsgspecError):
            return _Stored({}, b"")


def forget_old(directory: str) -> None:
    """Remove the caches of roots that were not scanned afresh for long, and what dead processes left."""
    limit = time.time() - _KEPT_DAYS * 86_400
    with os.scandir(directory) as listing:
        for entry in listing:
            try:
                if entry.stat().st_mtime < limit:
                    os.unlink(entry.path)
            except FileNotFoundError:
                continue
