"""Files by digest: loose ones at `objects/ab/…`, small ones in packs; what is written is hashed as it is written, what is read as it is read."""

import errno
import hashlib
import io
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from shipway.errors import ConflictError, CorruptError, NotFoundError
from shipway.specs.trees import ROOT, Digest, Entry, digest_of
from shipway.store.durable import freshen, make_directory, sync_directory, temporary, unlink, write_whole
from shipway.store.packs import FULL, SMALL_FILE, Packs, PackWriter, Place
from shipway.store.reading import copy_hashing, read_file

FEW = 4
"""Fewer small files than this are not worth a pack of their own, which every later look-up would have to open."""

REPAIR_HINT = "`shipway store verify --repair` takes out what is damaged and what needs it; the next run makes it again"

Source = tuple[Entry, str]
"""A file to store, and the path where it lies now."""


class Contents:
    """`directory` is the store's; nothing is made before the first write."""

    def __init__(self, directory: str) -> None:
        self._objects = f"{directory}/objects"
        self._tmp = f"{directory}/tmp"
        self.packs = Packs(f"{directory}/packs")

    # Finding

    def path(self, digest: str) -> str:
        """Where a loose object would lie."""
        return f"{self._objects}/{digest[:2]}/{digest[2:]}"

    def locate(self, entries: Iterable[Entry]) -> tuple[dict[bytes, Place], dict[str, Entry]]:
        """Where the small files of `entries` lie in packs, and which files, by digest, are nowhere."""
        files = {entry.digest: entry for entry in entries if entry.digest is not None}
        small = {bytes.fromhex(digest): entry for digest, entry in files.items() if entry.size < SMALL_FILE}
        places = self.packs.find(small.keys())
        for sha in places:
            del files[Digest(sha.hex())]
        missing = self._not_loose(files)
        return places, {digest: entry for digest, entry in files.items() if digest in missing}

    def _not_loose(self, digests: Iterable[str]) -> set[str]:
        try:
            shelves = set(os.listdir(self._objects))
        except FileNotFoundError:
            shelves = set()
        return {digest for digest in digests if digest[:2] not in shelves or not os.path.exists(self.path(digest))}

    # Writing

    def put_bytes(self, data: bytes) -> Digest:
        digest = digest_of(data)
        if not freshen(self.path(digest), self._tmp):
            write_whole(self.path(digest), data, self._tmp)
        return digest

    def put_files(self, sources: list[Source]) -> dict[bytes, Place]:
        """Store files that are nowhere yet; return where the packed ones lie. Raises ConflictError for one that changed."""
        small = [source for source in sources if source[0].size < SMALL_FILE]
        if len(small) < FEW:
            self._put_loose(sources)
            return {}
        self._put_loose([source for source in sources if source[0].size >= SMALL_FILE])
        return self._put_packed(small)

    def _put_packed(self, sources: list[Source]) -> dict[bytes, Place]:
        places: dict[bytes, Place] = {}
        rest = iter(sources)
        done = False
        while not done:
            with PackWriter(self.packs.directory, self._tmp) as pack:
                done = True
                for entry, path in rest:
                    pack.add(*_read_unchanged(entry, path))
                    if pack.length >= FULL:
                        done = False
                        break
                places |= pack.finish()
        return places

    def _put_loose(self, sources: list[Source]) -> None:
        shelves = set()
        for entry, path in sources:
            assert entry.digest is not None
            target = self.path(entry.digest)
            shelves.add(os.path.dirname(target))
            self._copy_in(entry, path, target)
        for shelf in shelves:
            sync_directory(shelf)

    def _copy_in(self, entry: Entry, path: str, target: str) -> None:
        name = temporary(self._tmp)
        try:
            with _unchanged(path):
                sha = copy_hashing(path, name, 0o444)
            if sha.hex() != entry.digest:
                raise _changed(path)
            _sync_file(name)
            make_directory(os.path.dirname(target))
            os.rename(name, target)
        finally:
            unlink(name)

    # Reading

    def read(self, entry: Entry, place: Place | None = None) -> bytes | memoryview:
        """The content of a small file, checked; `place` is where it may lie. Raises NotFoundError, CorruptError."""
        assert entry.digest is not None
        sha = bytes.fromhex(entry.digest)
        damaged = False
        for data in self._copies(sha, place):
            if hashlib.sha256(data).digest() == sha:
                return data
            damaged = True
        if damaged:
            raise _damaged(entry.digest)
        raise NotFoundError(f"object {entry.digest} is not in the store", hint=REPAIR_HINT)

    def copy(self, digest: str, target: str, mode: int) -> None:
        """Copy a large file out, checked. Raises NotFoundError, CorruptError."""
        try:
            sha = copy_hashing(self.path(digest), target, mode)
        except FileNotFoundError as error:
            raise NotFoundError(f"object {digest} is not in the store", hint=REPAIR_HINT) from error
        if sha.hex() != digest:
            raise _damaged(digest)

    def open(self, digest: Digest) -> BinaryIO:
        """Large content is opened as it lies, small content is checked first."""
        try:
            file = open(self.path(digest), "rb")  # noqa: SIM115 - the caller closes it
        except FileNotFoundError:
            pass
        else:
            if os.fstat(file.fileno()).st_size >= SMALL_FILE:
                return file
            file.close()
        return io.BytesIO(self.read(Entry(ROOT, digest)))

    def _copies(self, sha: bytes, place: Place | None) -> Iterator[bytes | memoryview]:
        """Every copy that there is, the likeliest first."""
        if place is not None:
            with suppress(NotFoundError, CorruptError):
                yield self.packs.read(place)
        with suppress(FileNotFoundError):
            yield Path(self.path(sha.hex())).read_bytes()
        found = self.packs.find([sha])
        if sha in found:
            yield self.packs.read(found[sha])


def _read_unchanged(entry: Entry, path: str) -> tuple[bytes, bytes]:
    with _unchanged(path):
        data = read_file(path, entry.size)
    sha = hashlib.sha256(data).digest()
    if sha.hex() != entry.digest:
        raise _changed(path)
    return sha, data


@contextmanager
def _unchanged(path: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise _changed(path) from error
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EISDIR, errno.ENOTDIR):
            raise _changed(path) from error
        raise


def _changed(path: str) -> ConflictError:
    return ConflictError(f"{path} changed since it was looked at", hint="run again when nothing writes to it")


def _damaged(digest: str) -> CorruptError:
    return CorruptError(f"object {digest} is damaged", hint=REPAIR_HINT)


def _sync_file(path: str) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
