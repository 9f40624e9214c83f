"""Garbage collection: what nothing reaches goes, and nothing else."""

import os
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from shipway.errors import CorruptError, NotFoundError
from shipway.specs.trees import ROOT, Digest, Entry, Tree
from shipway.store.directory import DirectoryStore
from shipway.store.gc import GarbageReport, collect_garbage
from shipway.store.verify import verify

Put = Callable[..., Digest]
Age = Callable[[Path, float], None]

HOUR = timedelta(hours=1)


def files(kind: str, count: int = 20) -> dict[str, bytes]:
    return {f"{kind}-{number}": b"%s %d" % (kind.encode(), number) for number in range(count)}


def collect(store: DirectoryStore, *roots: Digest) -> GarbageReport:
    return collect_garbage(store, roots, dry_run=False, grace=HOUR)


def intact(store: DirectoryStore, digest: Digest, to: Path) -> bool:
    DirectoryStore(store.root).checkout(digest, to)
    return list(verify(store)) == []


def everything(root: Path) -> set[Path]:
    return {path for path in root.rglob("*") if path.is_file() and path.name not in ("lock", "refs.lock")}


def test_what_a_root_reaches_stays_and_the_rest_goes(store: DirectoryStore, put: Put, age: Age, tmp_path: Path) -> None:
    kept = put(files("kept") | {"large": bytes(100_000)})
    dead = put(files("dead") | {"large": b"x" * 100_000})
    loose = store.put_bytes(b"loose")
    age(store.root, 7200)
    report = collect(store, kept)
    assert (report.trees, report.objects, report.packs, report.rewritten) == (1, 2, 1, 0)
    assert report.size > 100_000
    assert not store.has_tree(dead)
    with pytest.raises(NotFoundError):
        store.open(loose)
    assert intact(store, kept, tmp_path / "back")


def test_nothing_is_removed_unless_asked(store: DirectoryStore, put: Put, age: Age) -> None:
    put(files("dead"))
    age(store.root, 7200)
    before = everything(store.root)
    report = collect_garbage(store, [], grace=HOUR)
    assert (report.dry_run, report.trees, report.packs) == (True, 1, 1)
    assert everything(store.root) == before


def test_what_is_young_stays_with_all_that_it_needs(store: DirectoryStore, put: Put, age: Age, tmp_path: Path) -> None:
    put(files("old"))
    age(store.root, 7200)
    young = put(files("old") | {"and": b"more"})
    store.put_bytes(b"young")
    report = collect(store)
    assert (report.trees, report.objects, report.packs) == (1, 0, 0)
    assert intact(store, young, tmp_path / "back")


@pytest.mark.parametrize("way", ["put_tree", "put_tree with its digest", "add_tree", "has_tree"])
def test_an_old_tree_that_is_found_again_becomes_young(
    store: DirectoryStore, put: Put, age: Age, tmp_path: Path, way: str
) -> None:
    digest = put(files("again"))
    tree = store.tree(digest)
    age(store.root, 7200)
    if way == "put_tree":
        store.put_tree(tree, tmp_path)
    elif way == "put_tree with its digest":
        store.put_tree(tree, tmp_path, digest=digest)
    elif way == "add_tree":
        store.add_tree(tree)
    else:
        store.has_tree(digest)
    assert collect(store).trees == 0
    assert intact(store, digest, tmp_path / "back")


def test_an_old_object_that_is_put_again_becomes_young(store: DirectoryStore, age: Age) -> None:
    digest = store.put_bytes(b"again")
    age(store.root, 7200)
    store.put_bytes(b"again")
    assert collect(store).objects == 0
    store.add_tree(Tree(entries=(Entry(ROOT, digest, 5),)))


def test_another_users_old_tree_becomes_young_by_a_copy(
    store: DirectoryStore, put: Put, age: Age, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = put(files("theirs"))
    loose = store.put_bytes(b"theirs")
    age(store.root, 7200)

    def refuse(path: str) -> None:
        raise PermissionError(13, "not yours", path)

    monkeypatch.setattr(os, "utime", refuse)
    assert store.has_tree(digest)
    store.put_bytes(b"theirs")
    monkeypatch.undo()
    report = collect(store)
    assert (report.trees, report.objects) == (0, 0)
    assert intact(store, digest, tmp_path / "back")
    store.open(loose).close()


def test_roots_may_be_worked_out_by_asking_the_store(store: DirectoryStore, put: Put, age: Age, tmp_path: Path) -> None:
    digest = put(files("kept"))
    age(store.root, 7200)
    roots = (root for root in [digest] if store.has_tree(root))
    assert collect_garbage(store, roots, dry_run=False, grace=HOUR).trees == 0
    assert intact(store, digest, tmp_path / "back")


def test_an_object_may_be_a_root(store: DirectoryStore, age: Age) -> None:
    digest = store.put_bytes(b"manifest")
    age(store.root, 7200)
    assert collect(store, digest).objects == 0


def test_a_pack_that_is_mostly_garbage_is_written_again(
    store: DirectoryStore, put: Put, age: Age, tmp_path: Path
) -> None:
    put(files("all", 100))
    few = put(files("all", 10))
    age(store.root, 7200)
    (before,) = store.contents.packs.names()
    report = collect(store, few)
    (after,) = store.contents.packs.names()
    assert (report.trees, report.packs, report.rewritten) == (1, 0, 1)
    assert before != after
    assert (store.root / "packs" / after).stat().st_size < 1000
    assert intact(store, few, tmp_path / "back")
    store.checkout(few, tmp_path / "by the instance that knew the old pack")


def test_a_pack_that_is_mostly_needed_stays(store: DirectoryStore, put: Put, age: Age) -> None:
    put(files("all", 100))
    most = put(files("all", 80))
    age(store.root, 7200)
    before = store.contents.packs.names()
    assert collect(store, most).rewritten == 0
    assert store.contents.packs.names() == before


def test_what_dead_writers_left_goes_when_it_is_old(store: DirectoryStore, put: Put, age: Age) -> None:
    put(files("any"))
    (store.root / "tmp" / "1-dead").write_bytes(b"half")
    assert collect(store).temporary == 0
    age(store.root, 7200)
    assert collect(store).temporary == 1
    assert os.listdir(store.root / "tmp") == []


def test_nothing_goes_while_a_needed_tree_cannot_be_read(store: DirectoryStore, put: Put, age: Age) -> None:
    kept = put(files("kept"))
    put(files("dead"))
    path = Path(store.tree_path(kept))
    path.write_bytes(path.read_bytes()[:-1])
    age(store.root, 7200)
    before = everything(store.root)
    with pytest.raises(CorruptError, match=kept):
        collect(store, kept)
    assert everything(store.root) == before


def test_a_store_that_is_not_there_has_no_garbage(store: DirectoryStore) -> None:
    assert collect(store).trees == 0


PUTTER = """
import sys, time
from pathlib import Path
from shipway.specs.trees import Digest
from shipway.store.directory import DirectoryStore
from shipway.store.hashing import Scanner
root, source = Path(sys.argv[1]), Path(sys.argv[2])
tree = Scanner(root / "stat-cache").scan(source).tree
print("ready", flush=True)
end = time.monotonic() + 0.7
while time.monotonic() < end:
    store = DirectoryStore(root)
    store.checkout(store.put_tree(tree, source), source.parent / f"back-{time.monotonic_ns()}")
"""


@pytest.mark.slow
def test_a_collector_beside_a_putter_never_takes_what_it_relies_on(
    store: DirectoryStore, put: Put, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name, content in files("shared", 30).items():
        (source / name).write_bytes(content)
    with subprocess.Popen(
        [sys.executable, "-c", PUTTER, str(store.root), str(source)], stdout=subprocess.PIPE
    ) as putter:
        assert putter.stdout is not None
        putter.stdout.readline()
        rounds = 0
        while putter.poll() is None:
            # Half a second: shorter than the putter lives, longer than it ever needs between put and checkout.
            collect_garbage(store, [], dry_run=False, grace=timedelta(seconds=0.5))
            rounds += 1
    assert putter.returncode == 0
    assert rounds > 1
