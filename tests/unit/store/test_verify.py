"""Verification: a flipped bit anywhere is found, and what it costs is named."""

from collections.abc import Callable
from pathlib import Path

import pytest

from shipway.errors import CorruptError
from shipway.specs.trees import Digest, digest_of
from shipway.store.directory import DirectoryStore
from shipway.store.verify import remove_damaged, verify

Put = Callable[..., Digest]

SMALL = {f"small-{number}": b"%d" % number for number in range(10)}
LARGE = {"large": b"l" * 70_000}


def flip(path: Path, byte: int, bit: int = 0) -> None:
    content = bytearray(path.read_bytes())
    content[byte] ^= 1 << bit
    path.chmod(0o644)
    path.write_bytes(content)


def check(store: DirectoryStore) -> list[str]:
    """What a fresh instance finds, in short."""
    return sorted(f"{fault.kind} {fault.name}" for fault in verify(DirectoryStore(store.root)))


def test_a_sound_store_has_no_faults(store: DirectoryStore, put: Put) -> None:
    put(SMALL | LARGE)
    store.put_bytes(b"loose")
    store.record(digest_of(b"key"), b"result")
    store.move_ref("a", None, "b")
    assert check(store) == []
    assert list(verify(DirectoryStore(store.root / "nowhere"))) == []


def test_a_bit_flipped_anywhere_is_found(store: DirectoryStore, put: Put) -> None:
    put(SMALL | {"two": b"2" * 100})
    store.put_bytes(b"loose")
    store.record(digest_of(b"key"), b"result")
    rooms = ("objects", "packs", "trees", "keys")
    paths = [path for room in rooms for path in (store.root / room).rglob("*") if path.is_file()]
    assert len(paths) == 4
    for path in paths:
        content = path.read_bytes()
        for byte in range(0, len(content), 7):
            flip(path, byte, byte % 8)
            assert check(store) != [], f"byte {byte} of {path}"
            path.write_bytes(content)
    assert check(store) == []


@pytest.mark.parametrize("room", ["objects", "packs", "trees"])
def test_a_file_cut_short_is_found(store: DirectoryStore, put: Put, room: str) -> None:
    put(SMALL | LARGE)
    path = next(path for path in (store.root / room).rglob("*") if path.is_file())
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-1])
    assert check(store) != []


def test_the_trees_that_need_what_is_damaged_are_named(store: DirectoryStore, put: Put) -> None:
    first = put(SMALL | LARGE)
    second = put(LARGE)
    third = put(SMALL)
    flip(Path(store.contents.path(digest_of(LARGE["large"]))), 9)
    (fault,) = verify(store)
    assert (fault.kind, fault.name, set(fault.trees)) == ("object", digest_of(LARGE["large"]), {first, second})
    assert third not in fault.trees


def test_a_packed_file_that_is_damaged_is_named(store: DirectoryStore, put: Put) -> None:
    digest = put(SMALL)
    flip(store.root / "packs" / store.contents.packs.names()[0], 3)
    (fault,) = verify(store)
    assert (fault.kind, fault.name, fault.trees) == ("packed", digest_of(b"3"), (digest,))


def test_a_missing_object_is_named(store: DirectoryStore, put: Put) -> None:
    digest = put(LARGE)
    Path(store.contents.path(digest_of(LARGE["large"]))).unlink()
    (fault,) = verify(store)
    assert (fault.kind, fault.name, fault.trees) == ("object", digest_of(LARGE["large"]), (digest,))


def test_a_second_copy_that_is_sound_costs_no_tree(store: DirectoryStore, put: Put) -> None:
    put(SMALL)
    store.put_bytes(b"3")
    flip(store.root / "packs" / store.contents.packs.names()[0], 3)
    (fault,) = verify(store)
    assert fault.trees == ()


def test_a_damaged_result_says_so_when_it_is_read(store: DirectoryStore) -> None:
    key = digest_of(b"key")
    store.record(key, b"result")
    flip(Path(store.key_path(key)), 34)
    with pytest.raises(CorruptError, match=key):
        store.result(key)


@pytest.mark.parametrize("room", ["objects", "packs", "trees", "keys"])
@pytest.mark.parametrize("byte", [3, -3, -60])
def test_what_was_damaged_can_be_stored_again(
    store: DirectoryStore, put: Put, tmp_path: Path, room: str, byte: int
) -> None:
    digest = put(SMALL | LARGE)
    other = put(SMALL)
    store.record(digest_of(b"key"), bytes(100))
    flip(next(path for path in (store.root / room).rglob("*") if path.is_file()), byte)
    remove_damaged(store, verify(store))
    assert check(store) == []
    fresh = DirectoryStore(store.root)
    assert (put(SMALL | LARGE, fresh), put(SMALL, fresh)) == (digest, other)
    fresh.checkout(digest, tmp_path / "back")
    fresh.checkout(other, tmp_path / "back too")
    assert check(store) == []


def test_a_listing_under_another_trees_name_is_found(store: DirectoryStore, put: Put) -> None:
    first, second = put(SMALL), put(LARGE)
    Path(store.tree_path(first)).write_bytes(Path(store.tree_path(second)).read_bytes())
    with pytest.raises(CorruptError, match=first):
        store.tree(first)
    assert check(store) == [f"tree {first}"]


def test_a_pack_with_a_damaged_index_is_named(store: DirectoryStore, put: Put) -> None:
    put(SMALL)
    (name,) = store.contents.packs.names()
    flip(store.root / "packs" / name, -20)
    assert f"pack {name}" in check(store)
