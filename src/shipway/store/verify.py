"""Reads everything that a store holds and names what is damaged or missing, and which trees need it."""

import hashlib
import os
from collections.abc import Iterable, Iterator
from itertools import chain

import msgspec

from shipway.errors import CorruptError, UnsafePathError
from shipway.specs.trees import Digest
from shipway.store.directory import DirectoryStore
from shipway.store.durable import sync_directory, unlink
from shipway.store.gc import files_of, rewrite_pack
from shipway.store.packs import Place
from shipway.store.reading import hash_file


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """
    One thing that is damaged or missing.

    `kind` is "object", "packed" (a file inside a pack), "pack", "tree" or "key"; `name` its digest. `trees`: whose content is lost by it,
    which is none if another sound copy is here. `place` is where a packed file lies.
    """

    kind: str
    name: str
    problem: str
    trees: tuple[Digest, ...] = ()
    place: Place | None = None


def verify(store: DirectoryStore) -> Iterator[Fault]:
    """Yield every fault; none: each bit is as it was written. Reads all of the store, so it takes its time."""
    with store.lock(exclusive=False):
        # Listed before the files are looked at, so that a tree stored meanwhile is not missed to lack its own.
        trees = [Digest(found.name) for found in files_of(store, "trees")]
        sound: set[str] = set()
        faults: list[Fault] = []
        for name, fault in chain(_loose(store), _packed(store)):
            if fault is None:
                sound.add(name)
            else:
                faults.append(fault)
        tree_faults, needing = _trees(store, trees, sound)
        faults = [msgspec.structs.replace(fault, trees=tuple(needing.get(fault.name, ()))) for fault in faults]
        named = {fault.name for fault in faults}
        faults += [
            Fault(kind="object", name=digest, problem="is not in the store", trees=tuple(needed))
            for digest, needed in needing.items()
            if digest not in named
        ]
        faults += tree_faults
        faults += _keys(store)
    yield from faults


def remove_damaged(store: DirectoryStore, faults: Iterable[Fault]) -> None:
    """
    Take out what is damaged and the trees that need it, so that a repeated put stores them again.

    Results that name such a tree stay; whoever looks one up asks `has_tree`.
    """
    faults = list(faults)
    with store.lock(exclusive=True):
        for tree in {tree for fault in faults for tree in fault.trees}:
            unlink(store.tree_path(tree))
            sync_directory(os.path.dirname(store.tree_path(tree)))
        bad: dict[str, set[bytes]] = {}
        for fault in faults:
            if fault.place is not None:
                bad.setdefault(fault.place.pack, set()).add(bytes.fromhex(fault.name))
            elif fault.kind == "pack":
                _remove_pack(store, fault.name)
            elif fault.kind != "tree":
                unlink(store.key_path(Digest(fault.name)) if fault.kind == "key" else store.contents.path(fault.name))
        for name, shas in bad.items():
            pack = store.contents.packs.reread(name)
            rewrite_pack(store, pack, set(pack.shas) - shas)


def _remove_pack(store: DirectoryStore, name: str) -> None:
    packs = store.contents.packs
    try:
        pack = packs.reread(name)
    except CorruptError:
        unlink(packs.path(name))  # without its index nothing in it can be found
    else:
        rewrite_pack(store, pack, pack.shas)


def _loose(store: DirectoryStore) -> Iterator[tuple[str, Fault | None]]:
    for found in files_of(store, "objects"):
        sha, _ = hash_file(found.path, found.size)
        sound = sha.hex() == found.name
        yield found.name, None if sound else Fault(kind="object", name=found.name, problem="is damaged")


def _packed(store: DirectoryStore) -> Iterator[tuple[str, Fault | None]]:
    packs = store.contents.packs
    for found in files_of(store, "packs"):
        try:
            pack = packs.reread(found.name)
        except CorruptError as error:
            yield found.name, Fault(kind="pack", name=found.name, problem=error.message)
            continue
        end = 0
        for sha, place in sorted(pack, key=lambda row: row[1].offset):
            end += place.length
            sound = hashlib.sha256(packs.read(place)).digest() == sha
            yield (
                sha.hex(),
                None
                if sound
                else Fault(kind="packed", name=sha.hex(), problem=f"is damaged in pack {found.name}", place=place),
            )
        if end != pack.content_length:
            yield found.name, Fault(kind="pack", name=found.name, problem="holds more than its index names")


def _trees(
    store: DirectoryStore, digests: Iterable[Digest], sound: set[str]
) -> tuple[list[Fault], dict[str, list[Digest]]]:
    """Damaged listings, and for each file that has no sound copy the trees that need it."""
    faults: list[Fault] = []
    needing: dict[str, list[Digest]] = {}
    for digest in digests:
        try:
            listing = store.listing(digest)
        except (CorruptError, UnsafePathError) as error:
            faults.append(Fault(kind="tree", name=digest, problem=error.message, trees=(digest,)))
            continue
        for lost in {entry.digest for entry in listing.entries if entry.digest is not None} - sound:
            needing.setdefault(lost, []).append(digest)
    return faults, needing


def _keys(store: DirectoryStore) -> Iterator[Fault]:
    for found in files_of(store, "keys"):
        try:
            store.result(Digest(found.name))
        except CorruptError as error:
            yield Fault(kind="key", name=found.name, problem=error.message)
