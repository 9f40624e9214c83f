"""Hashes what lies on disk without storing it, and notices what was written since; unchanged files are not read again."""

import os
import stat
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from shipway.errors import ConflictError, NotFoundError, UnsafePathError, UsageError
from shipway.specs.trees import ROOT, Digest, Entry, Tree
from shipway.store.reading import hash_file
from shipway.store.statcache import Known, Memory, Summary, forget_old, row_signature, settled
from shipway.store.trees import build_tree, check_link
from shipway.store.walking import Row, walk, walk_files

CODE_SUFFIXES = (".py", ".sh", ".R", ".jl", ".ipynb", ".pl", ".js")
_GRAIN_NS = 20_000_000
"""Older kernels move the clock of ctime every 1 to 10 ms."""


class Scan:
    """
    What a directory or file held when it was scanned.

    `files` and `size` (bytes) count regular files. `exact`: the directory on disk holds nothing but the tree, so it may be linked in.
    `code`: some file is executable or a script, so running it may write beside it.
    """

    def __init__(self, summary: Summary, *, exact: bool, tree: Callable[[], Tree]) -> None:
        self.digest = summary.digest
        self.files = summary.files
        self.size = summary.size
        self.code = summary.code
        self.exact = exact
        self._build = tree
        self._tree: Tree | None = None

    @property
    def tree(self) -> Tree:
        """The listing, built when first asked for. Raises ConflictError if that is too late."""
        if self._tree is None:
            self._tree = self._build()
        return self._tree

    def __repr__(self) -> str:
        return f"Scan(digest={self.digest!r}, files={self.files}, size={self.size})"


class Scanner:
    """Keeps its memory of stat data in the directory `cache`; any number of processes may share it."""

    def __init__(self, cache: Path) -> None:
        self._cache = str(cache)
        self._memories: dict[str, Memory] = {}

    def scan(self, root: Path, *, files: Sequence[str] | None = None, exclude: Sequence[str] = ()) -> Scan:
        """
        Scan a directory or a single file; a link at `root` itself is followed.

        `files`: only these relative paths, those that are gone left out. Otherwise all but junk. `exclude`: relative paths of files and whole
        directories to leave out. Raises NotFoundError, UnsafePathError (a link that leaves the tree, a name that is not UTF-8, a device).
        """
        real = os.path.realpath(root)
        left_out = frozenset(path.strip("/") for path in exclude)
        found = walk(real, exclude=left_out) if files is None else walk_files(real, files, left_out)
        memory = self._memory(real)
        signature = row_signature(found.rows)
        summary = memory.summary(signature)
        if summary is not None:
            return Scan(summary, exact=found.exact, tree=lambda: self._rebuild(real, found.rows, summary))
        tree, sure = self._hash(real, found.rows, whole=files is None and not exclude)
        hashed = Summary(tree.digest, *_counts(tree), _has_code(real, found.rows))
        if sure:
            memory.summarise(signature, hashed)
        return Scan(hashed, exact=found.exact, tree=lambda: tree)

    def save(self) -> None:
        """Keep what was hashed for the next process. Where the cache cannot be written, it isn't."""
        try:
            for memory in self._memories.values():
                memory.save()
            if os.path.isdir(self._cache):
                forget_old(self._cache)
        except OSError:
            return

    def _memory(self, root: str) -> Memory:
        if root not in self._memories:
            self._memories[root] = Memory(self._cache, root)
        return self._memories[root]

    def _rebuild(self, root: str, rows: Sequence[Row], summary: Summary) -> Tree:
        tree, _ = self._hash(root, rows, whole=False)
        if tree.digest != summary.digest:
            raise ConflictError(f"{root} changed while it was read", hint="run again when nothing writes to it")
        return tree

    def _hash(self, root: str, rows: Sequence[Row], *, whole: bool) -> tuple[Tree, bool]:
        """The tree, and whether the stat data of each file would show a later write."""
        memory = self._memory(root)
        table = memory.table
        known: dict[str, Known] = {}
        entries: list[Entry] = []
        fresh, sure = False, True
        for row in rows:
            path, mode = row[0], row[5]
            if stat.S_ISREG(mode):
                old = table.get(path)
                if old is None or old[:5] != row[1:]:
                    started = time.time_ns()
                    sha, length = _hash_row(root, row)
                    old = (*row[1:], sha) if length == row[1] and settled(row, started) else None
                    fresh = True
                else:
                    sha, length = old[5], old[0]
                if old is None:
                    sure = False
                else:
                    known[path] = old
                entries.append(Entry(path, Digest(sha.hex()), length, bool(mode & 0o100)))
            else:
                entries.append(_other(root, path, mode))
        if fresh:
            memory.learn(known, whole=whole)
        return build_tree(entries), sure


class Signature(msgspec.Struct, frozen=True):
    """Stat data of all that lies at a path, junk and all."""

    rows: dict[str, tuple[int, int, int, int, int]]


def signature(path: Path) -> Signature:
    """
    Take down the stat data at `path`, so that `changed` sees every later write, even one that puts the modification time back.

    Waits a clock's grain if the newest file is younger than that.
    """
    rows = walk(str(path), keep_junk=True).rows
    newest = max((row[3] for row in rows), default=0)
    age = time.time_ns() - newest
    if 0 <= age < _GRAIN_NS:
        time.sleep((_GRAIN_NS - age) / 1e9)
        rows = walk(str(path), keep_junk=True).rows
    return Signature({row[0]: row[1:] for row in rows})


def changed(path: Path, before: Signature) -> list[str]:
    """Relative paths of what was added, removed or touched since, sorted; all of it if `path` is gone."""
    try:
        now = {row[0]: row[1:] for row in walk(str(path), keep_junk=True).rows}
    except NotFoundError:
        now = {}
    if now == before.rows:
        return []
    return sorted(name for name in now.keys() | before.rows.keys() if now.get(name) != before.rows.get(name))


def _hash_row(root: str, row: Row) -> tuple[bytes, int]:
    path = root if row[0] == ROOT else f"{root}/{row[0]}"
    try:
        return hash_file(path, row[1])
    except PermissionError as error:
        raise UsageError(f"{path} cannot be read", hint="change its permissions, or leave it out") from error
    except OSError as error:
        raise ConflictError(f"{path} changed while it was read", hint="run again when nothing writes to it") from error


def _other(root: str, path: str, mode: int) -> Entry:
    """A link or an empty directory."""
    if stat.S_ISLNK(mode):
        return Entry(path, target=check_link(path, os.readlink(f"{root}/{path}")))
    if stat.S_ISDIR(mode):
        return Entry(path)
    raise UnsafePathError(f"{root}/{path} is neither a file, a directory nor a link", hint="remove it, or leave it out")


def _counts(tree: Tree) -> tuple[int, int]:
    sizes = [entry.size for entry in tree.entries if entry.digest is not None]
    return len(sizes), sum(sizes)


def _has_code(root: str, rows: Sequence[Row]) -> bool:
    named = ((root if row[0] == ROOT else row[0], row[5]) for row in rows)  # a single file bears the root's name
    return any(stat.S_ISREG(mode) and (mode & 0o100 or path.endswith(CODE_SUFFIXES)) for path, mode in named)
