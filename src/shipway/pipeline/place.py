"""Puts stages' outputs where people look for them: at their paths in the project. Stages themselves never read them from there."""

import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from shipway.errors import UsageError
from shipway.specs.globs import meets
from shipway.specs.trees import Digest
from shipway.store.base import Store
from shipway.store.durable import locked
from shipway.store.hashing import Scanner
from shipway.store.views import Views

_LINK_ABOVE = 256
"""Files of an output directory beyond which it is linked, read-only, instead of copied: making files is what costs."""


class Placer(NamedTuple):
    """`home` is the project's `.shipway` directory."""

    root: Path
    home: Path
    store: Store
    views: Views
    scanner: Scanner


def place(placer: Placer, outputs: Mapping[str, Digest]) -> list[str]:
    """
    Write each output that is not there yet or was placed from another tree; runs that do so at once take turns.

    What a person put or changed at an output's path is moved to `.shipway/replaced/`, never deleted; those paths are returned.
    """
    if not _absent(placer, _Placed(placer.home), outputs):
        return []
    with locked(f"{_Placed(placer.home).file}.lock", exclusive=True):
        placed = _Placed(placer.home)
        return [path for path in _absent(placer, placed, outputs) if _place(placer, placed, path, outputs[path])]


def linked(root: Path, home: Path) -> Iterator[Digest]:
    """The trees whose shared copy an output in the project is a link to."""
    for path, digest in _Placed(home).trees.items():
        if (root / path).is_symlink():
            yield digest


class _Placed:
    """Which tree lies at which path."""

    def __init__(self, home: Path) -> None:
        self.file = home / "cache" / "placed"
        lines = self.file.read_text().splitlines() if self.file.exists() else []
        self.trees = {path: Digest(digest) for digest, _, path in (line.partition(" ") for line in lines)}

    def set(self, path: str, digest: Digest | None) -> None:
        """Write down what lies there now; then nothing else does, neither around it nor inside."""
        trees = {other: tree for other, tree in self.trees.items() if not meets(other, path)}
        if digest is not None:
            trees[path] = digest
        if trees != self.trees:
            self.trees = trees
            self.file.parent.mkdir(parents=True, exist_ok=True)
            part = self.file.with_name(f"{self.file.name}.{os.getpid()}")
            part.write_text("".join(f"{digest} {path}\n" for path, digest in trees.items()))
            part.replace(self.file)


def _absent(placer: Placer, placed: _Placed, outputs: Mapping[str, Digest]) -> list[str]:
    return [
        path
        for path, digest in outputs.items()
        if placed.trees.get(path) != digest or not os.path.lexists(placer.root / path)
    ]


def _place(placer: Placer, placed: _Placed, path: str, digest: Digest) -> bool:
    """True if what lay there was not ours and so was moved aside."""
    target = placer.root / path
    if path not in placed.trees and _holds(placer, target, digest):
        placed.set(path, digest)
        return False
    try:
        moved = _make_way(placer, target, placed.trees.get(path))
        placed.set(path, None)  # so that a part, left by a process that was killed, is not taken for the whole
        target.parent.mkdir(parents=True, exist_ok=True)
        tree = placer.store.tree(digest)
        if tree.is_directory and len(tree.entries) > _LINK_ABOVE:
            target.symlink_to(placer.views.view(digest), target_is_directory=True)
        else:
            placer.store.checkout(digest, target)
        placed.set(path, digest)
    except OSError as error:
        raise UsageError(
            f"output {path} cannot be put in its place: {error}",
            hint="its result is kept: see that there is space and permission, then run again",
        ) from error
    return moved


def _make_way(placer: Placer, target: Path, before: Digest | None) -> bool:
    """Clear a path, and the way to it; True if what lay there was not what we had placed and so was moved aside."""
    above = [parent for parent in reversed(target.parents) if parent.is_relative_to(placer.root)]
    in_the_way = [parent for parent in above if _is_our_link(placer, parent) or not parent.is_dir()]
    moved = [_clear(placer, path, None) for path in in_the_way if os.path.lexists(path)]
    if os.path.lexists(target):
        moved.append(_clear(placer, target, before))
    return any(moved)


def _clear(placer: Placer, path: Path, before: Digest | None) -> bool:
    import shutil  # these two are rarely needed, and slow to load
    import tempfile

    if _is_our_link(placer, path):
        path.unlink()
        return False
    if before is not None and _holds(placer, path, before):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        return False
    replaced = placer.home / "replaced"
    replaced.mkdir(exist_ok=True)
    own = tempfile.mkdtemp(prefix=time.strftime("%Y%m%d-%H%M%S-", time.gmtime()), dir=replaced)
    aside = Path(own) / path.relative_to(placer.root)
    aside.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(path, aside)
    return True


def _holds(placer: Placer, path: Path, tree: Digest) -> bool:
    """Whether exactly this tree lies there."""
    if path.is_symlink() or not path.exists():
        return False
    found = placer.scanner.scan(path)
    return found.digest == tree and found.exact


def _is_our_link(placer: Placer, path: Path) -> bool:
    return path.is_symlink() and path.readlink().is_relative_to(placer.home)
