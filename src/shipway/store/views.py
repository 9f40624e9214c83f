"""
Views: one shared, read-only copy of a tree on disk, for all jobs that read it, so that handing it out costs nothing.

Permissions are advice (root has none), so the stat data of a fresh view is kept beside it, and tells what was written into it.
"""

import os
import time
from collections.abc import Collection
from datetime import timedelta
from pathlib import Path

import msgspec

from shipway.errors import NotFoundError, UsageError
from shipway.specs.trees import Digest
from shipway.store.base import Store
from shipway.store.durable import temporary
from shipway.store.hashing import Signature, changed, signature

_decode = msgspec.msgpack.Decoder(Signature).decode


class Views:
    """`<root>/<digest>/tree` and `<root>/<digest>/signature`; both come and go in one rename."""

    def __init__(self, root: Path, store: Store) -> None:
        self._root = str(root.absolute())
        self._tmp = f"{self._root}/tmp"
        self._store = store

    def view(self, digest: Digest) -> Path:
        """
        Where the tree lies, made at the first call; never write there.

        Raises NotFoundError and CorruptError as the store does, UsageError for a tree that is a single file.
        """
        home = f"{self._root}/{digest}"
        if not os.path.isdir(home):
            self._make(digest, home)
        return Path(home, "tree")

    def made(self, digest: Digest) -> Path | None:
        """Where the view lies, if it has been made."""
        home = f"{self._root}/{digest}"
        return Path(home, "tree") if os.path.isdir(home) else None

    def changed(self, digest: Digest) -> list[str]:
        """Relative paths of what was added to, removed from or touched in the view since it was made, sorted. Raises NotFoundError."""
        home = Path(self._root, digest)
        try:
            before = _decode((home / "signature").read_bytes())
        except FileNotFoundError as error:
            raise NotFoundError(f"there is no view of tree {digest}") from error
        return changed(home / "tree", before)

    def discard(self, digest: Digest) -> None:
        """Throw the view away, so that the next one is fresh; none there: no error. Jobs that read it right now lose it."""
        gone = temporary(self._tmp)
        try:
            os.rename(f"{self._root}/{digest}", gone)
        except FileNotFoundError:
            return
        _remove(gone)

    def sweep(self, keep: Collection[Digest], *, grace: timedelta) -> int:
        """
        Discard the views that are not in `keep` and were made longer than `grace` ago, and what dead makers left; return how many.

        `keep` must name what running jobs read.
        """
        limit = time.time() - grace.total_seconds()
        old = [
            name for name in _names(self._root) if name not in {"tmp", *keep} and _made(f"{self._root}/{name}") < limit
        ]
        for name in old:
            self.discard(Digest(name))
        left = [path for name in _names(self._tmp) if _made(path := f"{self._tmp}/{name}") < limit]
        for path in left:
            _remove(path)
        return len(old) + len(left)

    def _make(self, digest: Digest, home: str) -> None:
        if not self._store.tree(digest).is_directory:
            raise UsageError(f"tree {digest} is a single file, which is never a view", hint="check it out")
        fresh = temporary(self._tmp)
        os.mkdir(fresh)
        try:
            self._store.checkout(digest, Path(fresh, "tree"))
            _set_modes(f"{fresh}/tree", writable=False)
            taken = signature(Path(fresh, "tree"))
            Path(fresh, "signature").write_bytes(msgspec.msgpack.encode(taken))
            os.rename(fresh, home)
        except OSError:
            if not os.path.isdir(home):  # else another process was faster, and its copy is as good
                raise
        finally:
            _remove(fresh)


def _names(directory: str) -> list[str]:
    return os.listdir(directory) if os.path.isdir(directory) else []


def _made(path: str) -> float:
    """When it was made, in seconds since the epoch; in the future if it is gone."""
    try:
        return os.stat(path).st_mtime
    except FileNotFoundError:
        return float("inf")


def _remove(path: str) -> None:
    import shutil  # rarely needed, and slow to load

    if os.path.isdir(path):
        _set_modes(path, writable=True)
        shutil.rmtree(path)


def _set_modes(top: str, *, writable: bool) -> None:
    """Directories only are made writable: that is all it takes to delete."""
    for directory, _, files in os.walk(top, topdown=writable):
        if writable:
            os.chmod(directory, 0o755)
            continue
        for name in files:
            path = f"{directory}/{name}"
            if not os.path.islink(path):
                os.chmod(path, 0o555 if os.stat(path).st_mode & 0o100 else 0o444)
        os.chmod(directory, 0o555)
