"""Any tree that a disk can hold comes back as it was."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shipway.errors import UnsafePathError
from shipway.specs.trees import ROOT, Digest, Entry, Tree, digest_of
from shipway.store.checkout import write_listing
from shipway.store.directory import DirectoryStore
from shipway.store.hashing import Scanner
from shipway.store.listings import place_entries
from shipway.store.trees import check_tree
from shipway.store.verify import verify
from shipway.store.walking import JUNK

quick = settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))

names = st.one_of(
    st.sampled_from(
        ["a", "b", "two words", "-rf", "new\nline", "ünï", "\\", "...", "$HOME", "%2F", "'", '"', "\x7f", "é"]
    ),
    st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=8),
).filter(lambda name: name not in JUNK | {".", ".."} and not name.endswith(".pyc"))

contents = st.one_of(
    st.binary(max_size=40),
    st.integers(65_530, 65_545).map(bytes),
    st.integers(0, 255).map(lambda byte: bytes([byte]) * 70_000),
)
files = st.tuples(contents, st.booleans())
nodes = st.recursive(
    st.one_of(files, st.just("link")), lambda inner: st.dictionaries(names, inner, max_size=12), max_leaves=25
)
directories = st.dictionaries(names, nodes, max_size=14)


def build(root: Path, node: object, top: Path) -> None:
    if isinstance(node, dict):
        root.mkdir()
        for name, inner in node.items():
            build(root / name, inner, top)
    elif isinstance(node, tuple):
        content, executable = node
        root.write_bytes(content)
        root.chmod(0o755 if executable else 0o644)
    else:
        root.symlink_to(os.path.relpath(top / "anything", root.parent))


def listing(root: Path) -> dict[str, object]:
    """What lies below, seen without our own code."""
    found: dict[str, object] = {}
    for path in root.rglob("*"):
        name = str(path.relative_to(root))
        if path.is_symlink():
            found[name] = os.readlink(path)
        elif path.is_dir():
            found[name] = None
        else:
            found[name] = (path.read_bytes(), os.access(path, os.X_OK))
    return found


@quick
@given(directories)
def test_a_tree_goes_in_and_comes_out_the_same(node: dict[str, object]) -> None:
    top = Path(tempfile.mkdtemp())
    try:
        build(top / "source", node, top / "source")
        scanner = Scanner(top / "stat-cache")
        scan = scanner.scan(top / "source")
        store = DirectoryStore(top / "store")
        digest = store.put_tree(scan.tree, top / "source")
        DirectoryStore(top / "store").checkout(digest, top / "back")
        assert listing(top / "back") == listing(top / "source")
        assert scanner.scan(top / "back").digest == digest
        assert list(verify(store)) == []
    finally:
        shutil.rmtree(top)


wild = st.one_of(names, st.sampled_from([".", "..", "", "a", "b", "c"]))
paths = st.lists(wild, min_size=1, max_size=4).map("/".join) | st.sampled_from(["/abs", ROOT, "a/", "a\0b", "\udce9"])
CONTENT = b"content"


def entry(path: str, kind: int, target: str) -> Entry:
    if kind == 0:
        return Entry(path, digest_of(CONTENT), len(CONTENT))
    return Entry(path, target=target) if kind == 1 else Entry(path + "/")


entries = st.builds(entry, paths, st.integers(0, 2), paths)


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(entries, max_size=6))
def test_whatever_passes_the_check_stays_inside_when_it_is_written(found: list[Entry]) -> None:
    tree = Tree(entries=tuple(sorted(found, key=lambda entry: entry.path)))
    try:
        check_tree(tree)
    except UnsafePathError:
        return
    top = Path(tempfile.mkdtemp())
    try:
        store = DirectoryStore(top / "store")
        store.put_bytes(CONTENT)
        write_listing(place_entries(tree.entries, {}), store.contents, str(top / "out"))
        assert sorted(os.listdir(top)) == ["out", "store"]
        for path in (top / "out").rglob("*"):
            # A link to nowhere resolves to where it would be; one in a ring cannot be followed at all.
            assert os.path.realpath(path).startswith(f"{os.path.realpath(top)}/out")
    finally:
        shutil.rmtree(top)


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(entries, max_size=6))
def test_a_stored_tree_that_would_escape_is_refused_on_the_way_out(found: list[Entry]) -> None:
    tree = Tree(entries=tuple(found))
    try:
        check_tree(tree)
        return
    except UnsafePathError:
        pass
    top = Path(tempfile.mkdtemp())
    try:
        store = DirectoryStore(top / "store")
        store.put_bytes(CONTENT)
        digest = plant(store, tree)
        if digest is None:
            return
        with pytest.raises(UnsafePathError):
            store.tree(digest)
        with pytest.raises(UnsafePathError):
            store.checkout(digest, top / "out")
        assert os.listdir(top) == ["store"]
    finally:
        shutil.rmtree(top)


def plant(store: DirectoryStore, tree: Tree) -> Digest | None:
    """Write a listing past all checks, as an attacker with a share in the store could."""
    try:
        digest = tree.digest
        store._write_listing(tree, digest, {})
    except UnicodeEncodeError:
        return None
    return digest
