"""
Removes what nothing reaches. Rule: never what is younger than the grace time, nor what a young tree needs.

It holds the store's lock alone, so no put is under way; a put that found something old has made it young (ADR 0003).
"""

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import timedelta

import msgspec

from shipway.errors import CorruptError
from shipway.specs.trees import Digest
from shipway.store.directory import DirectoryStore
from shipway.store.durable import sync_directory, unlink
from shipway.store.packs import Pack, PackWriter

_WORTH_REWRITING = 0.5
"""A pack less than this part of which is needed is written again without the rest."""


class GarbageReport(msgspec.Struct, kw_only=True):
    """What was removed, or would be; `size` is in bytes. `rewritten`: packs of which a part was kept. `temporary`: left by dead writers."""

    dry_run: bool
    trees: int = 0
    objects: int = 0
    packs: int = 0
    rewritten: int = 0
    temporary: int = 0
    size: int = 0


class Found(msgspec.Struct, frozen=True):
    """A file of the store."""

    name: str
    path: str
    size: int
    modified: float


def collect_garbage(
    store: DirectoryStore, roots: Iterable[Digest], *, dry_run: bool = True, grace: timedelta
) -> GarbageReport:
    """
    Remove the trees, objects and packs that no root reaches; `roots` are digests of trees or of single objects.

    Raises CorruptError, and removes nothing, if a tree that must be kept cannot be read.
    """
    limit = time.time() - grace.total_seconds()
    named = frozenset(roots)  # before the lock: who works them out may ask the store
    with store.lock(exclusive=not dry_run):
        return _Collection(store, GarbageReport(dry_run=dry_run), limit).run(named)


class _Collection:
    def __init__(self, store: DirectoryStore, report: GarbageReport, limit: float) -> None:
        self._store = store
        self._report = report
        self._limit = limit
        self._needed: set[str] = set()

    def run(self, roots: frozenset[Digest]) -> GarbageReport:
        dead_trees = self._mark(roots)
        report = self._report
        # Listings go first and durably, so that a crash never leaves a tree that lacks a file.
        report.trees = self._remove(dead_trees)
        if not report.dry_run:
            for shelf in {os.path.dirname(tree.path) for tree in dead_trees}:
                sync_directory(shelf)
        report.objects = self._remove(
            found
            for found in files_of(self._store, "objects")
            if self._is_old(found) and found.name not in self._needed
        )
        for found in files_of(self._store, "packs"):
            if self._is_old(found):
                self._sweep_pack(found)
        report.temporary = self._remove(found for found in files_of(self._store, "tmp") if self._is_old(found))
        return report

    def _mark(self, roots: frozenset[Digest]) -> list[Found]:
        """Note what is needed; return the trees that aren't."""
        dead = []
        self._needed = set(roots)
        for tree in files_of(self._store, "trees"):
            if self._is_old(tree) and tree.name not in roots:
                dead.append(tree)
                continue
            for entry in self._store.listing(Digest(tree.name)).entries:
                if entry.digest is not None:
                    self._needed.add(entry.digest)
        return dead

    def _sweep_pack(self, found: Found) -> None:
        try:
            pack = self._store.contents.packs.index(found.name)
        except CorruptError:
            return  # what it held is for `verify` to name
        kept = {sha: place.length for sha, place in pack if sha.hex() in self._needed}
        if not kept:
            self._report.packs += self._remove([found])
        elif sum(kept.values()) < _WORTH_REWRITING * pack.content_length:
            self._report.rewritten += 1
            self._report.size += pack.content_length - sum(kept.values())
            if not self._report.dry_run:
                rewrite_pack(self._store, pack, kept.keys())

    def _remove(self, files: Iterable[Found]) -> int:
        count = 0
        for found in files:
            count += 1
            self._report.size += found.size
            if not self._report.dry_run:
                unlink(found.path)
        return count

    def _is_old(self, found: Found) -> bool:
        return found.modified < self._limit


def rewrite_pack(store: DirectoryStore, pack: Pack, keep: Iterable[bytes]) -> None:
    """Put another pack with only `keep` in this one's place; listings find it by its index. Needs the exclusive lock."""
    wanted = set(keep)
    packs = store.contents.packs
    if wanted:
        with PackWriter(packs.directory, f"{store.root}/tmp") as writer:
            for sha, place in pack:
                if sha in wanted:
                    writer.add(sha, packs.read(place))
            writer.finish()
    if wanted != set(pack.shas):
        unlink(packs.path(pack.name))
        sync_directory(packs.directory)


def files_of(store: DirectoryStore, room: str) -> Iterator[Found]:
    """The files in `objects`, `packs`, `trees`, `keys` or `tmp`, each named by its digest where it has one."""
    yield from _files(f"{store.root}/{room}", "")


def _files(directory: str, prefix: str) -> Iterator[Found]:
    with suppress(FileNotFoundError), os.scandir(directory) as listing:
        for entry in listing:
            if entry.is_dir(follow_symlinks=False):
                yield from _files(entry.path, entry.name)
                continue
            with suppress(FileNotFoundError):
                stat = entry.stat(follow_symlinks=False)
                yield Found(prefix + entry.name, entry.path, stat.st_size, stat.st_mtime)
