"""Packs: small files in one, found again by digest."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from shipway.errors import CorruptError, NotFoundError
from shipway.specs.trees import Digest
from shipway.store import contents
from shipway.store.directory import DirectoryStore
from shipway.store.packs import Packs, PackWriter, Place


def pack(directory: Path, *contents: bytes) -> dict[bytes, Place]:
    with PackWriter(str(directory / "packs"), str(directory / "tmp")) as writer:
        for content in contents:
            writer.add(hashlib.sha256(content).digest(), content)
        return writer.finish()


def sha(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()


def test_what_is_packed_is_found_and_read(tmp_path: Path) -> None:
    placed = pack(tmp_path, b"one", b"", b"three")
    packs = Packs(str(tmp_path / "packs"))
    assert packs.find([sha(b"one"), sha(b""), sha(b"nowhere")]) == {key: placed[key] for key in (sha(b"one"), sha(b""))}
    assert [bytes(packs.read(place)) for place in placed.values()] == [b"one", b"", b"three"]


@pytest.mark.parametrize("wanted", [1, 3, 400])
def test_few_and_many_are_found_alike(tmp_path: Path, wanted: int) -> None:
    files = [b"%d" % number for number in range(400)]
    placed = pack(tmp_path, *files)
    looked_for = {sha(content) for content in files[:wanted]} | {sha(b"nowhere")}
    assert Packs(str(tmp_path / "packs")).find(looked_for) == {
        key: place for key, place in placed.items() if key in looked_for
    }


def test_a_pack_of_the_same_files_is_the_same_pack(tmp_path: Path) -> None:
    pack(tmp_path, b"one", b"two")
    pack(tmp_path, b"one", b"two", b"one")
    assert len(os.listdir(tmp_path / "packs")) == 1


def test_a_pack_made_later_by_another_is_found(tmp_path: Path) -> None:
    packs = Packs(str(tmp_path / "packs"))
    assert packs.find([sha(b"one")]) == {}
    pack(tmp_path, b"one")
    assert packs.find([sha(b"one")]).keys() == {sha(b"one")}


def test_a_pack_that_is_gone_is_no_longer_found(tmp_path: Path) -> None:
    packs = Packs(str(tmp_path / "packs"))
    (place,) = pack(tmp_path, b"one").values()
    packs.find([sha(b"one")])
    os.unlink(tmp_path / "packs" / place.pack)
    assert packs.find([sha(b"one")]) == {}
    with pytest.raises(NotFoundError):
        packs.read(place)


def test_more_packs_than_may_be_open_at_once_can_be_read(tmp_path: Path) -> None:
    placed = [pack(tmp_path, b"%d" % number) for number in range(40)]
    packs = Packs(str(tmp_path / "packs"))
    for _ in range(2):
        for number, places in enumerate(placed):
            assert bytes(packs.read(places[sha(b"%d" % number)])) == b"%d" % number
    assert len(packs._mapped) < 40


@pytest.mark.parametrize("keep", [0, 3, -1, -30])
def test_a_pack_cut_short_is_corrupt_and_holds_nothing(tmp_path: Path, keep: int) -> None:
    (place,) = pack(tmp_path, b"one").values()
    path = tmp_path / "packs" / place.pack
    content = path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(content[:keep])
    packs = Packs(str(tmp_path / "packs"))
    with pytest.raises(CorruptError, match=place.pack):
        packs.index(place.pack)
    assert packs.find([sha(b"one")]) == {}


def test_an_abandoned_pack_leaves_nothing(tmp_path: Path) -> None:
    with PackWriter(str(tmp_path / "packs"), str(tmp_path / "tmp")) as writer:
        writer.add(sha(b"one"), b"one")
    assert os.listdir(tmp_path / "tmp") == []
    assert not (tmp_path / "packs").exists()


# In a store


def test_many_small_files_make_one_pack_and_few_make_none(store: DirectoryStore, put: Callable[..., Digest]) -> None:
    put({f"few-{number}": b"%d" % number for number in range(contents.FEW - 1)})
    assert store.contents.packs.names() == []
    put({f"many-{number}": b"many %d" % number for number in range(100)})
    assert len(store.contents.packs.names()) == 1


def test_a_file_that_another_tree_packed_is_not_stored_twice(store: DirectoryStore, put: Callable[..., Digest]) -> None:
    files = {f"file-{number}": b"%d" % number for number in range(100)}
    put(files)
    put(files | {"one more": b"x"})
    put({f"renamed-{number}": b"%d" % number for number in range(50)})
    assert len(store.contents.packs.names()) == 1


def test_a_full_pack_is_followed_by_another(
    store: DirectoryStore, put: Callable[..., Digest], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contents, "FULL", 100)
    digest = put({f"file-{number}": b"%030d" % number for number in range(10)})
    assert len(store.contents.packs.names()) == 3
    store.checkout(digest, tmp_path / "back")
    assert len(os.listdir(tmp_path / "back")) == 10


def test_a_damaged_pack_fails_the_checkout_and_leaves_nothing(
    store: DirectoryStore, put: Callable[..., Digest], tmp_path: Path
) -> None:
    digest = put({f"file-{number}": b"%030d" % number for number in range(10)})
    path = tmp_path / "store" / "packs" / store.contents.packs.names()[0]
    content = bytearray(path.read_bytes())
    content[45] ^= 1
    path.chmod(0o644)
    path.write_bytes(content)
    with pytest.raises(CorruptError):
        DirectoryStore(tmp_path / "store").checkout(digest, tmp_path / "back")
    assert not (tmp_path / "back").exists()


def test_a_sound_copy_stands_in_for_a_damaged_one(
    store: DirectoryStore, put: Callable[..., Digest], tmp_path: Path
) -> None:
    files = {f"file-{number}": b"%030d" % number for number in range(10)}
    digest = put(files)
    path = tmp_path / "store" / "packs" / store.contents.packs.names()[0]
    content = bytearray(path.read_bytes())
    content[45] ^= 1
    path.chmod(0o644)
    path.write_bytes(content)
    for data in files.values():
        store.put_bytes(data)
    store.checkout(digest, tmp_path / "back")
    assert {path.name: path.read_bytes() for path in (tmp_path / "back").iterdir()} == files
