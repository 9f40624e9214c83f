"""Puts stages' outputs where people look for them: at their paths in the project. Stages themselves never read them from there."""

import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from shipway.specs.trees import Digest
from shipway.store.base import Store
from shipway.store.hashing import Scanner
from shipway.store.views import Views

_LINK_ABOVE = 256
"""Files of an output directory beyond which it is linked, read-only, instead of copied: making files is what costs."""
_RECORD = "placed"


class Placer(NamedTuple):
    """`home` is the project's `.shipway` directory."""

    root: Path
    home: Path
    store: Store
    views: Views
    scanner: Scanner


def place(placer: Placer, outputs: Mapping[str, Digest]) -> list[str]:
    """
    Write each output that is not there yet or was placed from another tree.

    What a person put or changed at an output's path is moved to `.shipway/replaced/`, never deleted; those paths are returned.
    """
    placed = _Placed(placer.home / "cache" / _RECORD)
    moved: list[str] = []
    for path, digest in outputs.items():
        target = placer.root / path
        if placed.get(path) == digest and os.path.lexists(target):
            continue
        if _make_way(placer, target, placed.get(path)):
            moved.append(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        tree = placer.store.tree(digest)
        if tree.is_directory and len(tree.entries) > _LINK_ABOVE:
            target.symlink_to(placer.views.view(digest), target_is_directory=True)
        else:
            placer.store.checkout(digest, target)
        placed.set(path, digest)
    placed.save()
    return moved


def linked(root: Path, home: Path) -> Iterator[Digest]:
    """The trees whose shared copy an output in the project is a link to."""
    for path, digest in _Placed(home / "cache" / _RECORD).trees.items():
        if (root / path).is_symlink():
            yield digest


class _Placed:
    """Which tree lies at which path; two runs at once may forget each other's lines, which costs a copy."""

    def __init__(self, file: Path) -> None:
        self._file = file
        lines = file.read_text().splitlines() if file.exists() else []
        self.trees = {path: Digest(digest) for digest, _, path in (line.partition(" ") for line in lines)}
        self._changed = False

    def get(self, path: str) -> Digest | None:
        return self.trees.get(path)

    def set(self, path: str, digest: Digest) -> None:
        self.trees[path] = digest
        self._changed = True

    def save(self) -> None:
        if self._changed:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            part = self._file.with_name(f"{self._file.name}.{os.getpid()}")
            part.write_text("".join(f"{digest} {path}\n" for path, digest in self.trees.items()))
            part.replace(self._file)


def _make_way(placer: Placer, target: Path, before: Digest | None) -> bool:
    """Clear a path; True if what lay there was not what we had placed and so was moved aside."""
    if not os.path.lexists(target):
        return False
    if target.is_symlink() and target.readlink().is_relative_to(placer.home):
        target.unlink()
        return False
    if before is not None and placer.scanner.scan(target).digest == before:
        _delete(target)
        return False
    aside = placer.home / "replaced" / time.strftime("%Y%m%d-%H%M%S", time.gmtime()) / target.relative_to(placer.root)
    aside.parent.mkdir(parents=True, exist_ok=True)
    target.rename(aside)
    return True


def _delete(target: Path) -> None:
    if target.is_dir():
        from shutil import rmtree  # late: it loads every compressor there is

        rmtree(target)
    else:
        target.unlink()
