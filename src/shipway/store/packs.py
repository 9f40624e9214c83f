"""
Packs: many small files in one, because making inodes is what costs; written once, never changed, named by their index.

Layout: the contents one after another; the index, 48 bytes for each (SHA-256, offset, length; big-endian, sorted by SHA-256); the
number of contents in 8 bytes; 8 bytes of magic. The name is the SHA-256 of the index, and so of everything.
"""

import hashlib
import mmap
import os
import struct
from bisect import bisect_left
from collections.abc import Collection, Iterator
from io import FileIO
from typing import NamedTuple

from shipway.errors import CorruptError, NotFoundError
from shipway.store.durable import make_directory, sync_directory, temporary, unlink

SMALL_FILE = 64 * 1024
"""Files below this size in bytes are packed."""

FULL = 256 << 20
"""A pack this long in bytes is closed and another begun."""

_MAPPED = 16

_MAGIC = b"SHIPPAK1"
_TAIL = struct.Struct(">Q8s")
_ROW = struct.Struct(">32sQQ")


class Place(NamedTuple):
    """Where a file lies."""

    pack: str
    offset: int
    length: int


class PackWriter:
    """Fills one pack; `finish` names it, leaving the block without that leaves nothing."""

    def __init__(self, directory: str, tmp: str) -> None:
        self._directory = directory
        self._temporary = temporary(tmp)
        self._file = open(self._temporary, "xb", buffering=1 << 20)  # noqa: SIM115 - closed by finish and __exit__
        self._rows: dict[bytes, tuple[int, int]] = {}
        self.length = 0

    def __enter__(self) -> "PackWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        unlink(self._temporary)

    def add(self, sha: bytes, data: bytes | memoryview) -> None:
        """Append content; `sha` must be its own."""
        if sha not in self._rows:
            self._rows[sha] = (self.length, len(data))
            self._file.write(data)
            self.length += len(data)

    def finish(self) -> dict[bytes, Place]:
        """Make the pack durable and visible. Returns where each content lies."""
        index = b"".join(_ROW.pack(sha, *self._rows[sha]) for sha in sorted(self._rows))
        self._file.write(index)
        self._file.write(_TAIL.pack(len(self._rows), _MAGIC))
        self._file.flush()
        os.fchmod(self._file.fileno(), 0o444)
        os.fsync(self._file.fileno())
        self._file.close()
        name = hashlib.sha256(index).hexdigest()
        make_directory(self._directory)
        os.rename(self._temporary, f"{self._directory}/{name}")
        sync_directory(self._directory)
        return {sha: Place(name, *row) for sha, row in self._rows.items()}


class Pack:
    """The index of one pack. Raises CorruptError if it isn't what the pack's name says."""

    def __init__(self, path: str, name: str) -> None:
        self.name = name
        try:
            with open(path, "rb", buffering=0) as file:
                self.content_length, self._count = self._measure(file)
                file.seek(self.content_length)
                self._index = file.read(self._count * _ROW.size)
        except FileNotFoundError as error:
            raise NotFoundError(f"pack {name} is not there") from error
        if hashlib.sha256(self._index).hexdigest() != name:
            raise CorruptError(f"the index of pack {name} is damaged", hint="run `shipway store verify`")
        self._shas: list[bytes] | None = None

    def find(self, shas: Collection[bytes]) -> dict[bytes, Place]:
        """Those of `shas` that lie here."""
        mine = self.shas
        # A lookup by bisection costs about as much as walking over this many names.
        if len(shas) * 30 < len(mine):
            hits = [sha for sha in shas if (at := bisect_left(mine, sha)) < len(mine) and mine[at] == sha]
        else:
            wanted = shas if isinstance(shas, set | frozenset | dict) else set(shas)
            hits = [sha for sha in mine if sha in wanted]
        return {sha: self._place(bisect_left(mine, sha)) for sha in hits}

    def __iter__(self) -> Iterator[tuple[bytes, Place]]:
        for at, sha in enumerate(self.shas):
            yield sha, self._place(at)

    @property
    def shas(self) -> list[bytes]:
        """What lies here, sorted."""
        if self._shas is None:
            size = _ROW.size
            self._shas = [self._index[at : at + 32] for at in range(0, self._count * size, size)]
        return self._shas

    def _place(self, at: int) -> Place:
        _, offset, length = _ROW.unpack_from(self._index, at * _ROW.size)
        return Place(self.name, offset, length)

    def _measure(self, file: FileIO) -> tuple[int, int]:
        """The length in bytes of all contents, and how many rows the index has."""
        end = file.seek(0, os.SEEK_END) - _TAIL.size
        if end >= 0:
            file.seek(end)
            count, magic = _TAIL.unpack(file.read(_TAIL.size))
            start = end - count * _ROW.size
            if magic == _MAGIC and start >= 0:
                return start, count
        raise CorruptError(f"pack {self.name} is cut short or damaged at its end", hint="run `shipway store verify`")


class Packs:
    """All packs of a store; they never change, so each index is read once, and only new ones are looked for."""

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self._indices: dict[str, Pack] = {}
        self._mapped: dict[str, mmap.mmap] = {}

    def names(self) -> list[str]:
        try:
            return sorted(os.listdir(self.directory))
        except FileNotFoundError:
            return []

    def path(self, name: str) -> str:
        return f"{self.directory}/{name}"

    def index(self, name: str) -> Pack:
        """Raises NotFoundError, CorruptError."""
        if name not in self._indices:
            self._indices[name] = Pack(self.path(name), name)
        return self._indices[name]

    def reread(self, name: str) -> Pack:
        """The index as it is on disk now."""
        self._indices.pop(name, None)
        return self.index(name)

    def find(self, shas: Collection[bytes]) -> dict[bytes, Place]:
        """Where those of `shas` lie that lie in packs; a damaged pack holds nothing."""
        found: dict[bytes, Place] = {}
        missing = set(shas)
        names = self.names()
        for gone in self._indices.keys() - set(names):
            self._indices.pop(gone, None)
            self._mapped.pop(gone, None)
        for name in names:
            if not missing:
                break
            try:
                hits = self.index(name).find(missing)
            except (CorruptError, NotFoundError):
                continue
            found |= hits
            missing -= hits.keys()
        return found

    def read(self, place: Place) -> memoryview:
        """What lies there, unchecked. Raises NotFoundError, CorruptError."""
        return memoryview(self._map(place.pack))[place.offset : place.offset + place.length]

    def _map(self, name: str) -> mmap.mmap:
        mapped = self._mapped.get(name)
        if mapped is None:
            try:
                with open(self.path(name), "rb") as file:
                    mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            except FileNotFoundError as error:
                raise NotFoundError(f"pack {name} is not there") from error
            except ValueError as error:  # an empty file cannot be mapped
                raise CorruptError(f"pack {name} is empty", hint="run `shipway store verify`") from error
            while len(self._mapped) >= _MAPPED:  # each holds a file descriptor
                self._mapped.pop(next(iter(self._mapped)), None)
            self._mapped[name] = mapped
        return mapped
