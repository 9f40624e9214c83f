"""The port to a store: content by digest, results by key, and few names that move by compare-and-swap."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from shipway.specs.trees import Digest, Tree


class Store(ABC):
    """
    Safe for many processes at once; nothing half-written is ever named.

    Every verb may be repeated. Digests are SHA-256; whoever reads content may trust it to be what its digest says or
    gets CorruptError (small content is checked on reading, large content by `shipway store verify` and on checkout).
    """

    # Content

    @abstractmethod
    def put_tree(self, tree: Tree, source: Path, *, digest: Digest | None = None) -> Digest:
        """
        Store every file of `tree` that is missing, reading them below `source` (`source` itself for a single-file tree).

        `digest` is the tree's own where the caller knows it already. Returns it. Each file is hashed again while it is copied: ConflictError names one that
        no longer matches. UnsafePathError for a path or link that leaves the tree.
        """

    @abstractmethod
    def add_tree(self, tree: Tree) -> Digest:
        """Store the listing of a tree whose files are all here already. NotFoundError names the first that isn't."""

    @abstractmethod
    def put_bytes(self, data: bytes) -> Digest:
        """Store one object that is at hand."""

    @abstractmethod
    def has_tree(self, digest: Digest) -> bool:
        """Whether the tree and so all its files are here."""

    @abstractmethod
    def tree(self, digest: Digest) -> Tree:
        """Return the listing. Raises NotFoundError, CorruptError."""

    @abstractmethod
    def open(self, digest: Digest) -> BinaryIO:
        """Open the content of one file or object for reading. Raises NotFoundError."""

    @abstractmethod
    def checkout(self, digest: Digest, target: Path) -> None:
        """
        Write the tree as fresh, writable files at `target`, which must not exist or be an empty directory.

        Reflinks where the file system can, else copies; executable bits and links as stored. Raises NotFoundError, CorruptError.
        """

    # Keys

    @abstractmethod
    def result(self, key: Digest) -> bytes | None:
        """What is recorded for a stage key, or None."""

    @abstractmethod
    def record(self, key: Digest, value: bytes, *, replace: bool = False) -> bytes:
        """Record a result; the first one stands unless `replace`. Returns the one that stands."""

    @abstractmethod
    def all_keys(self) -> Iterator[Digest]:
        """Every stage key with a result, in any order."""

    # Refs

    @abstractmethod
    def ref(self, name: str) -> str | None:
        """The value of a ref (`models/digits/champion`), or None."""

    @abstractmethod
    def refs(self, prefix: str) -> Mapping[str, str]:
        """All refs whose name starts with `prefix`, by full name, sorted."""

    @abstractmethod
    def move_ref(self, name: str, old: str | None, new: str | None) -> None:
        """Set a ref to `new` if it still is `old`; None: not there. Raises ConflictError with what it is now."""
