"""Trees are built and checked here: whatever comes from a disk, a job or another store is refused unless it stays inside itself."""

import re
from collections.abc import Iterable

from shipway.errors import UnsafePathError
from shipway.specs.trees import ROOT, Entry, Tree

_UNSAFE = re.compile(r"\A/|\A\Z|(?:\A|/)\.{0,2}(?:/|\Z)|[\0\ud800-\udfff]")
"""Absolute or empty paths; empty, "." and ".." parts; NUL; names that are not UTF-8 (they arrive as lone surrogates)."""


def check_path(path: str) -> str:
    """Return a relative, normalised POSIX path as it is; raise UnsafePathError for any other."""
    if _UNSAFE.search(path):
        raise UnsafePathError(f"path {path!r} {_fault(path)}", hint="rename it, or leave it out")
    return path


def check_link(path: str, target: str) -> str:
    """
    Return the target of the link at `path` if following it stays in the tree.

    ".." may only stand at its beginning: further on it could climb out through another link.
    """
    parts = target.split("/")
    climbs = next((at for at, part in enumerate(parts) if part != ".."), len(parts))
    if not target or target.startswith("/") or climbs > path.count("/") or ".." in parts[climbs:] or path == ROOT:
        raise UnsafePathError(
            f"link {path!r} points to {target!r}, which leaves its tree",
            hint="replace the link by what it points to, or name that as an input of its own",
        )
    if "\0" in target or any("\ud800" <= char <= "\udfff" for char in target):
        raise UnsafePathError(f"link {path!r} points to {target!r}, which is not valid UTF-8", hint="rename the target")
    return target


def build_tree(entries: Iterable[Entry]) -> Tree:
    """Sort and check."""
    tree = Tree(entries=tuple(sorted(entries, key=_path)))
    check_tree(tree)
    return tree


def check_tree(tree: Tree) -> None:
    """Raise UnsafePathError unless writing the tree to a directory touches nothing outside, in whatever order it is written."""
    entries = tree.entries
    if not tree.is_directory:
        _check_single(entries[0])
        return
    leaves: set[str] = set()
    before = ""
    for entry in entries:
        path = entry.path
        empty = path.endswith("/")
        leaf = path[:-1] if empty else path
        check_path(leaf)
        if path <= before or leaf in leaves:
            raise UnsafePathError(f"path {path!r} stands twice, or out of order, in its tree")
        _check_kind(entry, empty)
        leaves.add(leaf)
        before = path
    _check_parents(leaves)


def _check_single(entry: Entry) -> None:
    if entry.digest is None or entry.target is not None:
        raise UnsafePathError("a tree that is a single entry must be a file")


def _check_kind(entry: Entry, empty: bool) -> None:
    if entry.target is not None:
        check_link(entry.path, entry.target)
    if (entry.digest is not None) + (entry.target is not None) + empty != 1:
        raise UnsafePathError(f"entry {entry.path!r} is not exactly one of file, link and empty directory")


def _check_parents(leaves: set[str]) -> None:
    """Every entry is a leaf, so none may be a directory on another's way: a file below a link would be written through it."""
    parents = {leaf.rpartition("/")[0] for leaf in leaves}
    while parents := parents - {""}:
        if bad := parents & leaves:
            raise UnsafePathError(f"path {min(bad)!r} is an entry of its tree and a directory on the way to another")
        parents = {parent.rpartition("/")[0] for parent in parents}


def _path(entry: Entry) -> str:
    return entry.path


def _fault(path: str) -> str:
    if "\0" in path:
        return "holds a NUL byte"
    if any("\ud800" <= char <= "\udfff" for char in path):
        return "is not valid UTF-8"
    return "is absolute" if path.startswith("/") else "is empty or has an empty, '.' or '..' part"
