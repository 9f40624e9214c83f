"""Trees: what a directory or a file holds, by content, independent of where it lies (idea 2)."""

import hashlib
from collections.abc import Iterator
from typing import NewType

import msgspec

Digest = NewType("Digest", str)
"""A SHA-256 in 64 lower-case hexadecimal digits, as `sha256sum` prints it."""

ROOT = "."
"""The path of the only entry of a tree that is a single file or link rather than a directory."""


def digest_of(data: bytes) -> Digest:
    return Digest(hashlib.sha256(data).hexdigest())


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """
    One file or symbolic link.

    `path` is relative, POSIX, normalised, never leaves the tree; `ROOT` where the tree is one file.
    A file has `digest` and `size` in bytes; a link has `target` and neither. Directories exist by their files only:
    an empty directory is an entry whose path ends in "/" with neither digest nor target.
    """

    path: str
    digest: Digest | None = None
    size: int = 0
    executable: bool = False
    target: str | None = None


class Tree(msgspec.Struct, frozen=True):
    """Entries sorted by path (by code point); two trees with the same entries have the same digest."""

    entries: tuple[Entry, ...]

    @property
    def digest(self) -> Digest:
        """SHA-256 of the canonical form: the compact JSON array of the entries."""
        return digest_of(msgspec.json.encode(self.entries))

    @property
    def size(self) -> int:
        """Sum of the files' sizes in bytes."""
        return sum(entry.size for entry in self.entries)

    @property
    def is_directory(self) -> bool:
        return not (len(self.entries) == 1 and self.entries[0].path == ROOT)

    def below(self, prefix: str) -> Iterator[Entry]:
        """Entries at or below `prefix`, with their paths relative to it (`ROOT` for the entry itself)."""
        inside = prefix.rstrip("/") + "/"
        for entry in self.entries:
            if entry.path == prefix:
                yield msgspec.structs.replace(entry, path=ROOT)
            elif entry.path.startswith(inside) and entry.path != inside:
                yield msgspec.structs.replace(entry, path=entry.path[len(inside) :])
