"""
What every store must do, as tests.

Subclass once for each store and provide `store`, and `reopen`: another instance over the same content, as another process sees it.
"""

import os
import stat
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from shipway.errors import ConflictError, NotFoundError, ShipwayError, UnsafePathError, UsageError
from shipway.specs.trees import ROOT, Digest, Entry, Tree, digest_of
from shipway.store.base import Store
from shipway.store.hashing import Scanner

LARGE = 200_000
"""Bytes; more than any store packs."""

ODD_NAMES = (
    "two words",
    "new\nline",
    "-rf",
    "ünï/cödé",
    "quo'te\"s",
    "back\\slash",
    "dollar$HOME",
    "a.",
    "~",
    "#",
    "%2F",
)

NOWHERE = digest_of(b"never stored")
FILE = digest_of(b"content")

UNSAFE_TREES = {
    "absolute path": (Entry("/etc/passwd", FILE, 7),),
    "path with ..": (Entry("../up", FILE, 7),),
    "path with inner ..": (Entry("a/../../up", FILE, 7),),
    "path with .": (Entry("a/./b", FILE, 7),),
    "path with an empty part": (Entry("a//b", FILE, 7),),
    "path with NUL": (Entry("a\0b", FILE, 7),),
    "empty path": (Entry("", FILE, 7),),
    "absolute link": (Entry("link", target="/etc/passwd"),),
    "link that leaves": (Entry("a/link", target="../../up"),),
    "link that leaves late": (Entry("link", target="a/../../up"),),
    "link that climbs through a link": (Entry("a/up", target=".."), Entry("link", target="a/up/../../up")),
    "file below a link": (Entry("a", target="b"), Entry("a/file", FILE, 7)),
    "file below a file": (Entry("a", FILE, 7), Entry("a/file", FILE, 7)),
    "one path twice": (Entry("a", FILE, 7), Entry("a", target="b")),
    "unsorted": (Entry("b", FILE, 7), Entry("a", FILE, 7)),
    "link as the whole tree": (Entry(ROOT, target="b"),),
    "file and link at once": (Entry("a", FILE, 7, False, "b"),),
}


class StoreConformance:
    @pytest.fixture
    def store(self) -> Store:
        raise NotImplementedError("provide the store under test")

    @pytest.fixture
    def reopen(self) -> Callable[[], Store]:
        raise NotImplementedError("provide a second instance over the same content")

    @pytest.fixture
    def source(self, tmp_path: Path) -> Path:
        """A directory with one of everything."""
        root = tmp_path / "source"
        (root / "deep" / "er").mkdir(parents=True)
        (root / "empty").mkdir()
        (root / "deep" / "er" / "file").write_bytes(b"content")
        (root / "large").write_bytes(os.urandom(LARGE))
        (root / "nothing").write_bytes(b"")
        (root / "tool").write_bytes(b"#!/bin/sh\n")
        (root / "tool").chmod(0o755)
        (root / "deep" / "link").symlink_to("../large")
        (root / "link to directory").symlink_to("deep")
        for number in range(12):
            (root / f"small-{number}").write_text(str(number))
        for name in ODD_NAMES:
            (root / name).parent.mkdir(exist_ok=True)
            (root / name).write_text(name)
        return root

    def look(self, path: Path) -> Tree:
        return Scanner(path.parent / "stat-cache").scan(path).tree

    def put(self, store: Store, path: Path) -> Digest:
        return store.put_tree(self.look(path), path)

    # Trees

    def test_a_tree_comes_back_as_it_was(
        self, store: Store, reopen: Callable[[], Store], source: Path, tmp_path: Path
    ) -> None:
        tree = self.look(source)
        digest = store.put_tree(tree, source)
        reopen().checkout(digest, tmp_path / "back")
        assert digest == tree.digest
        assert self.look(tmp_path / "back") == tree
        assert (tmp_path / "back" / "deep" / "link").read_bytes() == (source / "large").read_bytes()
        assert reopen().tree(digest) == tree

    def test_a_single_file_is_a_tree(self, store: Store, source: Path, tmp_path: Path) -> None:
        for name in ("large", "tool"):
            digest = self.put(store, source / name)
            store.checkout(digest, tmp_path / name)
            assert (tmp_path / name).read_bytes() == (source / name).read_bytes()
            assert os.access(tmp_path / name, os.X_OK) == (name == "tool")

    def test_an_empty_directory_is_a_tree(self, store: Store, tmp_path: Path) -> None:
        (tmp_path / "nil").mkdir()
        store.checkout(self.put(store, tmp_path / "nil"), tmp_path / "back")
        assert list((tmp_path / "back").iterdir()) == []

    def test_putting_again_is_the_same(self, store: Store, reopen: Callable[[], Store], source: Path) -> None:
        tree = self.look(source)
        assert store.put_tree(tree, source) == store.put_tree(tree, source, digest=tree.digest)
        assert reopen().put_tree(tree, source) == tree.digest

    def test_a_tree_that_shares_files_with_another_is_whole(self, store: Store, source: Path, tmp_path: Path) -> None:
        self.put(store, source)
        (source / "small-3").write_text("other")
        (source / "new").write_text("new")
        store.checkout(self.put(store, source), tmp_path / "back")
        assert self.look(tmp_path / "back") == self.look(source)

    def test_has_tree_tells_what_is_here(self, store: Store, reopen: Callable[[], Store], source: Path) -> None:
        tree = self.look(source)
        assert not store.has_tree(tree.digest)
        store.put_tree(tree, source)
        assert store.has_tree(tree.digest)
        assert reopen().has_tree(tree.digest)

    @pytest.mark.parametrize("name", ["small-3", "large"])
    @pytest.mark.parametrize("change", ["write", "remove", "grow", "link"])
    def test_a_file_that_changed_is_named_and_the_tree_is_not_stored(
        self, store: Store, source: Path, name: str, change: str
    ) -> None:
        tree = self.look(source)
        content = (source / name).read_bytes()
        if change in ("remove", "link"):
            (source / name).unlink()
        if change == "link":
            (source / name).symlink_to("small-4")
        elif change != "remove":
            (source / name).write_bytes(content + b"x" if change == "grow" else b"?" + content[1:])
        with pytest.raises(ConflictError, match=name):
            store.put_tree(tree, source)
        assert not store.has_tree(tree.digest)

    def test_a_wrong_digest_is_refused(self, store: Store, source: Path) -> None:
        with pytest.raises(UsageError, match=NOWHERE):
            store.put_tree(self.look(source), source, digest=NOWHERE)
        assert not store.has_tree(NOWHERE)

    def test_a_listing_of_stored_files_becomes_a_tree(self, store: Store, source: Path, tmp_path: Path) -> None:
        whole = self.look(source)
        store.put_tree(whole, source)
        part = Tree(entries=tuple(whole.below("deep")))
        part = Tree(entries=tuple(entry for entry in part.entries if entry.target is None))
        digest = store.add_tree(part)
        store.checkout(digest, tmp_path / "back")
        assert digest == part.digest
        assert (tmp_path / "back" / "er" / "file").read_bytes() == b"content"

    def test_a_listing_of_an_object_becomes_a_tree(self, store: Store, tmp_path: Path) -> None:
        digest = store.put_bytes(b"lr: 0.1\n")
        store.checkout(store.add_tree(Tree(entries=(Entry(ROOT, digest, 8),))), tmp_path / "params.yaml")
        assert (tmp_path / "params.yaml").read_text() == "lr: 0.1\n"

    def test_a_listing_that_lacks_a_file_is_refused(self, store: Store) -> None:
        tree = Tree(entries=(Entry("some/where", NOWHERE, 5),))
        with pytest.raises(NotFoundError, match="some/where"):
            store.add_tree(tree)
        assert not store.has_tree(tree.digest)

    def test_an_unknown_tree_is_not_found(self, store: Store, tmp_path: Path) -> None:
        assert not store.has_tree(NOWHERE)
        with pytest.raises(NotFoundError, match=NOWHERE):
            store.tree(NOWHERE)
        with pytest.raises(NotFoundError, match=NOWHERE):
            store.checkout(NOWHERE, tmp_path / "back")
        assert not (tmp_path / "back").exists()

    @pytest.mark.parametrize("case", UNSAFE_TREES)
    def test_a_tree_that_leaves_its_directory_is_refused(self, store: Store, tmp_path: Path, case: str) -> None:
        store.put_bytes(b"content")
        tree = Tree(entries=UNSAFE_TREES[case])
        with pytest.raises(UnsafePathError):
            store.put_tree(tree, tmp_path)
        with pytest.raises(UnsafePathError):
            store.add_tree(tree)
        assert not store.has_tree(tree.digest)

    def test_many_at_once_may_put_the_same(
        self, store: Store, reopen: Callable[[], Store], source: Path, tmp_path: Path
    ) -> None:
        tree = self.look(source)
        faults = _at_once([lambda: reopen().put_tree(tree, source)] * 6)
        store.checkout(tree.digest, tmp_path / "back")
        assert faults == []
        assert self.look(tmp_path / "back") == tree

    # Checkout

    def test_a_checkout_is_writable_and_its_own(self, store: Store, source: Path, tmp_path: Path) -> None:
        digest = self.put(store, source)
        store.checkout(digest, tmp_path / "one")
        for path in (tmp_path / "one").rglob("*"):
            if path.is_file() and not path.is_symlink():
                assert path.stat().st_mode & stat.S_IWUSR
                assert path.stat().st_nlink == 1
                path.write_bytes(b"scribble")
        store.checkout(digest, tmp_path / "two")
        assert self.look(tmp_path / "two").digest == digest

    def test_a_checkout_fills_an_empty_directory(self, store: Store, source: Path, tmp_path: Path) -> None:
        (tmp_path / "back").mkdir()
        digest = self.put(store, source)
        store.checkout(digest, tmp_path / "back")
        assert self.look(tmp_path / "back").digest == digest

    @pytest.mark.parametrize("what", ["a file", "a full directory", "a link"])
    def test_a_checkout_touches_nothing_that_is_there(
        self, store: Store, source: Path, tmp_path: Path, what: str
    ) -> None:
        target = tmp_path / "back"
        (tmp_path / "elsewhere").mkdir()
        if what == "a file":
            target.write_text("mine")
        elif what == "a link":
            target.symlink_to("elsewhere")
        else:
            target.mkdir()
            (target / "mine").write_text("mine")
        digest = self.put(store, source)
        with pytest.raises(UsageError, match="back"):
            store.checkout(digest, target)
        assert list((tmp_path / "elsewhere").iterdir()) == []
        assert what != "a file" or target.read_text() == "mine"
        assert what != "a full directory" or [path.name for path in target.iterdir()] == ["mine"]

    # Objects

    @pytest.mark.parametrize("size", [0, 1, 70_000])
    def test_an_object_comes_back(self, store: Store, reopen: Callable[[], Store], size: int) -> None:
        data = os.urandom(size)
        digest = store.put_bytes(data)
        assert digest == digest_of(data) == store.put_bytes(data)
        with reopen().open(digest) as file:
            assert file.read() == data

    def test_every_file_of_a_tree_is_an_object(self, store: Store, source: Path) -> None:
        tree = self.look(source)
        store.put_tree(tree, source)
        for entry in tree.entries:
            if entry.digest is not None:
                with store.open(entry.digest) as file:
                    assert file.read() == (source / entry.path).read_bytes()

    def test_an_unknown_object_is_not_found(self, store: Store) -> None:
        with pytest.raises(NotFoundError, match=NOWHERE):
            store.open(NOWHERE)

    # Keys

    def test_the_first_result_of_a_key_stands(self, store: Store, reopen: Callable[[], Store]) -> None:
        assert store.result(NOWHERE) is None
        assert store.record(NOWHERE, b"first\0\n") == b"first\0\n"
        assert reopen().record(NOWHERE, b"second") == b"first\0\n"
        assert reopen().result(NOWHERE) == b"first\0\n"

    def test_a_result_can_be_replaced(self, store: Store, reopen: Callable[[], Store]) -> None:
        store.record(NOWHERE, b"first")
        assert store.record(NOWHERE, b"second", replace=True) == b"second"
        assert reopen().result(NOWHERE) == b"second"

    def test_all_keys_are_listed(self, store: Store, reopen: Callable[[], Store]) -> None:
        assert list(store.all_keys()) == []
        keys = {digest_of(b"%d" % number) for number in range(5)}
        for key in keys:
            store.record(key, b"result")
        assert set(reopen().all_keys()) == keys

    def test_all_who_record_at_once_get_the_same_result(self, store: Store, reopen: Callable[[], Store]) -> None:
        results: list[bytes] = []

        def record(at: int) -> None:
            results.append(reopen().record(NOWHERE, b"%d" % at))

        faults = _at_once([partial(record, at) for at in range(6)])
        assert faults == []
        assert set(results) == {store.result(NOWHERE)}

    # Refs

    def test_a_ref_moves_only_from_where_it_is(self, store: Store, reopen: Callable[[], Store]) -> None:
        name = "models/digits/champion"
        assert store.ref(name) is None
        store.move_ref(name, None, "one")
        store.move_ref(name, "one", "two")
        with pytest.raises(ConflictError, match="two"):
            reopen().move_ref(name, "one", "three")
        with pytest.raises(ConflictError, match="two"):
            reopen().move_ref(name, None, "three")
        assert reopen().ref(name) == "two"

    def test_a_ref_can_be_removed(self, store: Store) -> None:
        store.move_ref("branch", None, "one")
        store.move_ref("branch", "one", None)
        assert store.ref("branch") is None
        assert store.refs("") == {}
        with pytest.raises(ConflictError, match="not there"):
            store.move_ref("branch", "one", "two")

    def test_refs_are_listed_by_prefix_in_order(self, store: Store) -> None:
        for name in ("b/x", "a/y/z", "a/y", "a", "a%2Fb", "ä/ö ö"):
            store.move_ref(name, None, f"value of {name}")
        assert list(store.refs("a").items()) == [(name, f"value of {name}") for name in ("a", "a%2Fb", "a/y", "a/y/z")]
        assert store.refs("ä/") == {"ä/ö ö": "value of ä/ö ö"}
        assert store.refs("nothing") == {}

    @pytest.mark.parametrize("name", ["", "/a", "a/../b", "..", "a//b", "a\0b", "a/"])
    def test_a_ref_with_an_unsafe_name_is_refused(self, store: Store, name: str) -> None:
        with pytest.raises(UnsafePathError):
            store.move_ref(name, None, "one")

    def test_one_of_many_who_move_a_ref_at_once_wins(self, store: Store, reopen: Callable[[], Store]) -> None:
        store.move_ref("head", None, "old")
        faults = _at_once([partial(reopen().move_ref, "head", "old", f"new {at}") for at in range(6)])
        assert len(faults) == 5
        assert all(isinstance(fault, ConflictError) for fault in faults)
        assert (store.ref("head") or "").startswith("new ")


def _at_once(acts: list[Callable[[], object]]) -> list[ShipwayError]:
    """Run all, each in a thread of its own; return the errors."""
    faults: list[ShipwayError] = []
    start = threading.Barrier(len(acts))

    def run(act: Callable[[], object]) -> None:
        start.wait()
        try:
            act()
        except ShipwayError as error:
            faults.append(error)

    threads = [threading.Thread(target=run, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return faults
