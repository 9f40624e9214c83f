"""
Decides how inputs are laid out in a work tree: code is copied, data is linked. Pure.

A directory of data is one link, so its number of files costs nothing. Code is real files, because scripts find their neighbours through their own
path. Where something else is mounted or written inside a directory, that directory is real and its children are linked where they can be. The
deeper mount wins where two meet; of two at one path, the later.
"""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from shipway.errors import InvalidJobError
from shipway.specs.jobs import Mount
from shipway.specs.trees import ROOT, Digest, Entry, Tree
from shipway.store.hashing import CODE_SUFFIXES

FEW_FILES = 64
FEW_BYTES = 8 << 20
"""A sub-directory of undeclared inputs that is no larger is copied: a link saves nothing there, and breaks programs that make files in `logs/` beside a `.gitkeep`."""


class Copy(msgspec.Struct, frozen=True, kw_only=True):
    """Fresh files at `path`. `digest` None: part of a mounted tree, which has no name yet."""

    path: str
    tree: Tree
    digest: Digest | None = None


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """One symbolic link at `path`. `tree` is there where it is part of a mounted tree, which the store may not have by its own name."""

    path: str
    digest: Digest
    tree: Tree | None = None
    origin: str | None = None


class Layout(msgspec.Struct, frozen=True, kw_only=True):
    """Copies first, shallow before deep; then links; then `directories`, the parents of outputs."""

    copies: tuple[Copy, ...]
    links: tuple[Link, ...]
    directories: tuple[str, ...]


def is_code(entry: Entry) -> bool:
    return entry.digest is not None and (entry.executable or entry.path.endswith(CODE_SUFFIXES))


def plan(mounts: Sequence[Mount], trees: Mapping[Digest, Tree], outputs: Sequence[str]) -> Layout:
    """`trees` holds the listing of every mounted tree."""
    layers: dict[str, _Layer] = {}
    for mount in mounts:
        layer = _Layer(path=mount.path, tree=trees[mount.tree], digest=mount.tree, origin=mount.origin)
        layers[mount.path] = _union(layers[mount.path], layer) if mount.path in layers else layer
    copies: list[Copy] = []
    links: list[Link] = []
    for layer in sorted(layers.values(), key=lambda layer: _depth(layer.path)):
        real, linked = _Spread(layers.keys(), outputs).lay(layer)
        if real is not None:
            copies.append(real)
        links += linked
    parents = (output.rpartition("/")[0] for output in outputs)
    return Layout(
        copies=tuple(copies), links=tuple(links), directories=tuple(sorted({path for path in parents if path}))
    )


class _Layer(msgspec.Struct, frozen=True, kw_only=True):
    path: str
    tree: Tree
    digest: Digest | None
    origin: str | None


class _Spread:
    """Takes one layer apart, around the other mounts and the outputs."""

    def __init__(self, mounts: Iterable[str], outputs: Iterable[str]) -> None:
        self._mounts = frozenset(mounts)
        self._outputs = frozenset(outputs)
        self._taken = self._mounts | self._outputs

    def lay(self, layer: _Layer) -> tuple[Copy | None, list[Link]]:
        path, tree = layer.path, layer.tree
        inside = self._inside(path)
        if not tree.is_directory and inside:
            raise InvalidJobError(f"{path!r} is a file, so {inside[0]!r} cannot lie inside it")
        if not inside and (not tree.is_directory or self._written(path)):
            return Copy(path=path, tree=tree, digest=layer.digest), []
        code = any(map(is_code, tree.entries))
        if path != ROOT and not code and not inside:
            part = tree if layer.digest is None else None
            return None, [Link(path=path, digest=layer.digest or tree.digest, tree=part, origin=layer.origin)]
        if path != ROOT and (code or self._written(path)):
            files: list[Entry] = self._around(path, tree.entries)
            links: list[Link] = []
        else:
            files, links = self._apart(path, tree.entries, layer.origin)
        whole = layer.digest if len(files) == len(tree.entries) else None
        return Copy(path=path, tree=Tree(tuple(sorted(files, key=_by_path))), digest=whole), links

    def _around(self, path: str, entries: Iterable[Entry]) -> list[Entry]:
        """All but what lies under deeper mounts."""
        deeper = tuple(inner for inner in self._inside(path) if inner in self._mounts)
        if not deeper:
            return list(entries)
        return [entry for entry in entries if not is_under(join(path, entry.path), deeper)]

    def _apart(self, path: str, entries: Iterable[Entry], origin: str | None) -> tuple[list[Entry], list[Link]]:
        """Child by child: the entries that become real, with paths relative to `path`, and the links."""
        files: list[Entry] = []
        links: list[Link] = []
        no_links: list[Link] = []
        for name, inner in _children(entries).items():
            child = join(path, name)
            if child in self._mounts:
                continue
            if not inner:
                files.append(Entry(f"{name}/"))
                continue
            if len(inner) == 1 and inner[0].path == ROOT:
                if blocked := self._inside(child):
                    raise InvalidJobError(f"{child!r} is a file, so {blocked[0]!r} cannot lie inside it")
                real, linked = inner, no_links
            elif self._written(child):
                real, linked = self._around(child, inner), no_links
            elif self._inside(child) or any(map(is_code, inner)) or not _closed(inner):
                real, linked = self._apart(child, inner, _child_of(origin, name))
            elif path != ROOT or _many(inner):
                tree = Tree(tuple(inner))
                real, linked = [], [Link(path=child, digest=tree.digest, tree=tree, origin=_child_of(origin, name))]
            else:
                real, linked = inner, no_links
            files += (msgspec.structs.replace(entry, path=join(name, entry.path)) for entry in real)
            links += linked
        return files, links

    def _inside(self, path: str) -> list[str]:
        prefix = "" if path == ROOT else f"{path}/"
        return sorted(taken for taken in self._taken if taken != path and taken.startswith(prefix))

    def _written(self, path: str) -> bool:
        """Whether it is an output, or inside one: what is collected must be real, and the job's own."""
        return path in self._outputs or any(path.startswith(f"{output}/") for output in self._outputs)


def _union(below: _Layer, above: _Layer) -> _Layer:
    if not (below.tree.is_directory and above.tree.is_directory):
        return above
    entries = {entry.path: entry for entry in (*below.tree.entries, *above.tree.entries)}
    tree = Tree(tuple(entries[path] for path in sorted(entries)))
    return _Layer(path=above.path, tree=tree, digest=None, origin=None)


def _children(entries: Iterable[Entry]) -> dict[str, list[Entry]]:
    """Entries by first part of their path, relative to it."""
    children: dict[str, list[Entry]] = {}
    for entry in entries:
        name, slash, rest = entry.path.partition("/")
        if slash and not rest:  # an empty directory
            children.setdefault(name, [])
        else:
            children.setdefault(name, []).append(msgspec.structs.replace(entry, path=rest or ROOT))
    return children


def _closed(entries: Iterable[Entry]) -> bool:
    """Whether no link among them leads out of them, so that they can be a tree of their own."""
    return all(
        entry.target is None or entry.target.split("/").count("..") <= entry.path.count("/") for entry in entries
    )


def _many(entries: Sequence[Entry]) -> bool:
    return len(entries) > FEW_FILES or sum(entry.size for entry in entries) > FEW_BYTES


def is_under(path: str, tops: Iterable[str]) -> bool:
    return any(path == top or path.startswith(f"{top}/") for top in tops)


def join(parent: str, path: str) -> str:
    """`path` as seen from where `parent` is seen; either may be `ROOT`."""
    if path == ROOT:
        return parent
    return path if parent == ROOT else f"{parent}/{path}"


def _child_of(origin: str | None, name: str) -> str | None:
    return None if origin is None else f"{origin}/{name}"


def _depth(path: str) -> int:
    return 0 if path == ROOT else path.count("/") + 1


def _by_path(entry: Entry) -> str:
    return entry.path
