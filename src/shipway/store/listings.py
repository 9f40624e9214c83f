"""Stored listings: a tree's entries, and where its small files lay when it was stored."""

from collections.abc import Mapping

import msgspec

from shipway.errors import CorruptError
from shipway.specs.trees import Digest, Entry, Tree
from shipway.store.durable import seal, unseal
from shipway.store.packs import Place
from shipway.store.trees import check_tree


class Listing(msgspec.Struct, frozen=True, array_like=True):
    """
    `places` stands beside `entries`: (number of the pack in `packs`, offset), or None for what lies loose or is no file.

    A place is a hint: the entry's digest says what must be there, and the packs' own indices are asked when it isn't. The tree's digest
    doesn't cover it.
    """

    entries: tuple[Entry, ...]
    packs: tuple[str, ...]
    places: tuple[tuple[int, int] | None, ...]

    @property
    def tree(self) -> Tree:
        return Tree(entries=self.entries)

    def place(self, at: int) -> Place | None:
        """Where the file of entry number `at` lay."""
        where = self.places[at]
        return None if where is None else Place(self.packs[where[0]], where[1], self.entries[at].size)


_decode = msgspec.msgpack.Decoder(Listing).decode


def place_entries(entries: tuple[Entry, ...], found: Mapping[bytes, Place]) -> Listing:
    """Put each entry beside its place; `found` is by SHA-256."""
    packs = {name: at for at, name in enumerate(dict.fromkeys(place.pack for place in found.values()))}
    places: list[tuple[int, int] | None] = []
    for entry in entries:
        place = None if entry.digest is None else found.get(bytes.fromhex(entry.digest))
        places.append(None if place is None else (packs[place.pack], place.offset))
    return Listing(entries, tuple(packs), tuple(places))


def encode_listing(listing: Listing) -> bytes:
    return seal(msgspec.msgpack.encode(listing))


def decode_listing(data: bytes, digest: Digest) -> Listing:
    """Raises CorruptError unless it is the tree of that digest, UnsafePathError if that tree would leave its directory."""
    name = f"tree {digest}"
    try:
        listing = _decode(unseal(data, name))
    except msgspec.MsgspecError as error:
        raise CorruptError(f"{name} cannot be read: {error}", hint="run `shipway store verify`") from error
    if len(listing.places) != len(listing.entries) or listing.tree.digest != digest:
        raise CorruptError(f"{name} holds another tree", hint="run `shipway store verify`")
    check_tree(listing.tree)
    return listing
