"""
Makes a job's work tree as `layout` planned it, and tells afterwards what the job wrote into its inputs.

Inputs are linked to the project's own copy or to a shared view, so the stat data of both is taken down before the start and compared afterwards: nothing
keeps a job, least of all one that runs as root, from writing through a link. What was copied is the job's own, but a job that changes it has not
computed its result from its inputs, so that is found out as well; files that it adds there harm nobody.
"""

import os
from pathlib import Path

import msgspec

from shipway.backends.layout import Copy, Layout, Link, is_under, join, plan
from shipway.errors import InputChangedError, NotFoundError
from shipway.specs.jobs import Mount
from shipway.specs.trees import ROOT, Digest
from shipway.store.base import Store
from shipway.store.hashing import Scanner, Signature, changed, signature
from shipway.store.reading import hash_file
from shipway.store.views import Views

_NAMED = 5
"""An error names so many files of those that were touched."""

Stat = tuple[int, int, int, int]
"""size, mtime_ns, ctime_ns, inode."""


class CopiedFile(msgspec.Struct, frozen=True, array_like=True):
    """A file that was laid out as a copy: its path in the work tree, what it held, and its stat data then."""

    path: str
    digest: Digest
    stat: Stat


class LinkedTree(msgspec.Struct, frozen=True, array_like=True):
    """`before` is there for the project's own copy. A view knows its own; `made` tells it from one that was made anew after it."""

    path: str
    digest: Digest
    target: str
    before: Signature | None
    made: Stat


class Staged(msgspec.Struct, frozen=True, array_like=True):
    """What a job was given, as it was before it started."""

    copied: tuple[CopiedFile, ...]
    linked: tuple[LinkedTree, ...]


class Stager:
    """`cache` is where it remembers the stat data of the project's own copies."""

    def __init__(self, store: Store, views: Views, cache: Path) -> None:
        self._store = store
        self._views = views
        self._cache = cache

    def stage(self, mounts: tuple[Mount, ...], outputs: tuple[str, ...], work: Path) -> Staged:
        """Fill the empty or missing directory `work`. Raises NotFoundError, CorruptError, InvalidJobError."""
        work.mkdir(exist_ok=True)
        known = [mount for mount in mounts if self._is_known_data(mount, mounts, outputs)]
        rest = tuple(mount for mount in mounts if mount not in known)
        layout = plan(rest, {mount.tree: self._store.tree(mount.tree) for mount in rest}, outputs)
        for copy in layout.copies:
            self._copy(copy, work / copy.path)
        links = [*(Link(path=mount.path, digest=mount.tree) for mount in known), *layout.links]
        linked = tuple(self._link(link, work / link.path) for link in links)
        for directory in layout.directories:
            (work / directory).mkdir(parents=True, exist_ok=True)
        self._remember_data(mounts, linked)
        return Staged(copied=_copied(layout, outputs, work), linked=linked)

    def check(self, staged: Staged, work: Path) -> None:
        """
        Raise InputChangedError if the job wrote into what it was given, naming input and files.

        A view that was touched is thrown away first, so that nobody reads it again.
        """
        faults = self.damage(staged)
        for file in staged.copied:
            if _differs(work / file.path, file):
                faults.append(f"input {file.path!r}: the job changed or removed it")
        if faults:
            raise InputChangedError(
                "\n".join(faults),
                hint="declare what the stage writes as an output, or let it work on a copy",
            )

    def damage(self, staged: Staged) -> list[str]:
        """One line for each linked input that was touched; touched views are thrown away."""
        faults = []
        for link in staged.linked:
            if link.before is not None:
                if names := changed(Path(link.target), link.before):
                    faults.append(
                        f"input {link.path!r}: {_listed(names)} changed while the job ran; "
                        f"this is the project's own copy, {link.target}: put it back as it was"
                    )
            elif fault := self._view_damage(link):
                faults.append(f"input {link.path!r}: {fault}")
        return faults

    def _is_known_data(self, mount: Mount, mounts: tuple[Mount, ...], outputs: tuple[str, ...]) -> bool:
        """Whether it is a tree of data that was linked before, and its view is there: then its listing, however long, is not read."""
        if mount.path == ROOT or not self._data(mount.tree).exists() or self._views.made(mount.tree) is None:
            return False
        others = [other.path for other in mounts if other is not mount and other.path != ROOT]
        return not any(is_under(path, [mount.path]) or is_under(mount.path, [path]) for path in (*others, *outputs))

    def _remember_data(self, mounts: tuple[Mount, ...], linked: tuple[LinkedTree, ...]) -> None:
        """Of a tree that was linked as a whole it is known that it holds no code."""
        mounted = {(mount.path, mount.tree) for mount in mounts}
        for link in linked:
            if (link.path, link.digest) in mounted and not (mark := self._data(link.digest)).exists():
                mark.parent.mkdir(parents=True, exist_ok=True)
                mark.touch()

    def _data(self, tree: Digest) -> Path:
        return self._cache.parent / "data" / tree

    def _copy(self, copy: Copy, target: Path) -> None:
        if copy.tree.entries:
            self._store.checkout(copy.digest or self._store.add_tree(copy.tree), target)
        else:
            target.mkdir(parents=True, exist_ok=True)

    def _link(self, link: Link, at: Path) -> LinkedTree:
        before = None if link.origin is None else self._own_copy(Path(link.origin), link.digest)
        if before is not None and link.origin is not None:
            target = link.origin
        else:
            if link.tree is not None:
                self._store.add_tree(link.tree)
            target = str(self._views.view(link.digest))
        at.parent.mkdir(parents=True, exist_ok=True)
        at.symlink_to(target)
        return LinkedTree(link.path, link.digest, target, before, _stat(target))

    def _own_copy(self, origin: Path, digest: Digest) -> Signature | None:
        """Its signature, if it still holds exactly this tree: since the plan was made, its owner may have worked on it."""
        try:
            before = signature(origin)
            scanner = Scanner(self._cache)
            found = scanner.scan(origin)
        except NotFoundError:
            return None
        scanner.save()
        return before if found.exact and found.digest == digest else None

    def _view_damage(self, link: LinkedTree) -> str | None:
        try:
            names = self._views.changed(link.digest)
            same = _stat(link.target) == link.made
        except (NotFoundError, FileNotFoundError):
            names, same = [], False
        if names:
            self._views.discard(link.digest)
            return f"{_listed(names)} changed while the job ran"
        # Another job damaged the shared copy and it was thrown away: who can tell what this one has read?
        return None if same else "its shared copy was thrown away while the job ran, because a job had written into it"


def _copied(layout: Layout, outputs: tuple[str, ...], work: Path) -> tuple[CopiedFile, ...]:
    """All copied files but those that the job may change, because they lie in an output."""
    files = []
    for copy in layout.copies:
        for entry in copy.tree.entries:
            path = join(copy.path, entry.path)
            if entry.digest is not None and not is_under(path, outputs):
                files.append(CopiedFile(path, entry.digest, _stat(f"{work}/{path}")))
    return tuple(files)


def _differs(path: Path, before: CopiedFile) -> bool:
    try:
        if _stat(str(path)) == before.stat:
            return False
        return hash_file(str(path), path.stat().st_size)[0].hex() != before.digest
    except OSError:
        return True


def _stat(path: str) -> Stat:
    found = os.stat(path, follow_symlinks=False)
    return (found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)


def _listed(names: list[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(map(repr, names[:_NAMED])) + (f" and {more} more" if more > 0 else "")
