"""
The store that is a directory: `objects/ab/…`, `packs/`, `trees/ab/…`, `keys/ab/…`, `refs/`, and `tmp/` for what has no name yet.

Whoever adds content, or relies on what is there, holds the shared lock from the first look to the last name; the garbage collector
holds it alone, so it never removes what somebody has just found (ADR 0003).
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO

from shipway.errors import NotFoundError, UsageError
from shipway.specs.trees import ROOT, Digest, Entry, Tree
from shipway.store.base import Store
from shipway.store.checkout import write_listing
from shipway.store.contents import Contents
from shipway.store.durable import freshen, locked, seal, unseal, write_whole
from shipway.store.listings import Listing, decode_listing, encode_listing, place_entries
from shipway.store.packs import Place
from shipway.store.refs import RefFiles
from shipway.store.trees import check_tree


class DirectoryStore(Store):
    """Nothing is made on disk before the first write."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self._directory = str(self.root)
        self._tmp = f"{self._directory}/tmp"
        self.contents = Contents(self._directory)
        self._refs = RefFiles(f"{self._directory}/refs", f"{self._directory}/refs.lock", self._tmp)

    def lock(self, *, exclusive: bool) -> AbstractContextManager[None]:
        """Shared for those who add, exclusive for the one who removes."""
        return locked(f"{self._directory}/lock", exclusive=exclusive)

    # Content

    def put_tree(self, tree: Tree, source: Path, *, digest: Digest | None = None) -> Digest:
        if digest is not None and self.has_tree(digest):
            return digest
        check_tree(tree)
        with self.lock(exclusive=False):
            own = _own_digest(tree, digest)
            if self._touch_tree(own):
                return own
            places, missing = self.contents.locate(tree.entries)
            base = os.path.realpath(source)
            places |= self.contents.put_files([(entry, _below(base, entry)) for entry in missing.values()])
            self._write_listing(tree, own, places)
        return own

    def add_tree(self, tree: Tree) -> Digest:
        check_tree(tree)
        with self.lock(exclusive=False):
            digest = tree.digest
            if not self._touch_tree(digest):
                places, missing = self.contents.locate(tree.entries)
                for entry in missing.values():
                    raise NotFoundError(f"{entry.path!r} ({entry.digest}) is not in the store")
                self._write_listing(tree, digest, places)
        return digest

    def put_bytes(self, data: bytes) -> Digest:
        with self.lock(exclusive=False):
            return self.contents.put_bytes(data)

    def has_tree(self, digest: Digest) -> bool:
        if not os.path.exists(self.tree_path(digest)):
            return False
        # Whoever asks will rely on the answer, so the tree is as good as new for the garbage collector.
        with self.lock(exclusive=False):
            return self._touch_tree(digest)

    def tree(self, digest: Digest) -> Tree:
        return self.listing(digest).tree

    def open(self, digest: Digest) -> BinaryIO:
        return self.contents.open(digest)

    def checkout(self, digest: Digest, target: Path) -> None:
        listing = self.listing(digest)
        if not set(listing.packs) <= set(self.contents.packs.names()):  # the garbage collector wrote other packs
            listing = place_entries(listing.entries, self.contents.locate(listing.entries)[0])
        write_listing(listing, self.contents, str(target))

    def listing(self, digest: Digest) -> Listing:
        """The stored listing. Raises NotFoundError, CorruptError, UnsafePathError."""
        try:
            data = Path(self.tree_path(digest)).read_bytes()
        except FileNotFoundError as error:
            raise NotFoundError(f"tree {digest} is not in the store") from error
        return decode_listing(data, digest)

    def tree_path(self, digest: Digest) -> str:
        return f"{self._directory}/trees/{digest[:2]}/{digest[2:]}"

    def _touch_tree(self, digest: Digest) -> bool:
        return freshen(self.tree_path(digest), self._tmp)

    def _write_listing(self, tree: Tree, digest: Digest, places: Mapping[bytes, Place]) -> None:
        write_whole(self.tree_path(digest), encode_listing(place_entries(tree.entries, places)), self._tmp)

    # Keys

    def result(self, key: Digest) -> bytes | None:
        try:
            data = Path(self.key_path(key)).read_bytes()
        except FileNotFoundError:
            return None
        return unseal(data, f"the result of key {key}")

    def record(self, key: Digest, value: bytes, *, replace: bool = False) -> bytes:
        if not replace and (standing := self.result(key)) is not None:
            return standing
        with self.lock(exclusive=False):
            if write_whole(self.key_path(key), seal(value), self._tmp, replace=replace):
                return value
        return self.record(key, value)

    def all_keys(self) -> Iterator[Digest]:
        for path in Path(f"{self._directory}/keys").glob("??/*"):
            yield Digest(path.parent.name + path.name)

    def key_path(self, key: Digest) -> str:
        return f"{self._directory}/keys/{key[:2]}/{key[2:]}"

    # Refs

    def ref(self, name: str) -> str | None:
        return self._refs.get(name)

    def refs(self, prefix: str) -> Mapping[str, str]:
        return self._refs.below(prefix)

    def move_ref(self, name: str, old: str | None, new: str | None) -> None:
        with self.lock(exclusive=False):
            self._refs.move(name, old, new)


def _own_digest(tree: Tree, claimed: Digest | None) -> Digest:
    digest = tree.digest
    if claimed not in (None, digest):
        raise UsageError(f"the tree's digest is {digest}, not {claimed}")
    return digest


def _below(base: str, entry: Entry) -> str:
    return base if entry.path == ROOT else f"{base}/{entry.path}"
