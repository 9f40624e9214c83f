"""Several real processes on one store: whatever the moment, and whoever dies."""

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from shipway.errors import NotFoundError
from shipway.specs.trees import Digest
from shipway.store.contents import FEW
from shipway.store.directory import DirectoryStore
from shipway.store.gc import files_of
from shipway.store.hashing import Scanner
from shipway.store.verify import verify

START = """
import sys, time
from pathlib import Path
from shipway.errors import ConflictError
from shipway.store.contents import FEW
from shipway.store.directory import DirectoryStore
from shipway.store.hashing import Scanner
root, source, me = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
store = DirectoryStore(root)
print("ready", flush=True)
sys.stdin.readline()
"""

PUT = START + "store.put_tree(Scanner(root / 'stat-cache').scan(source).tree, source)\n"

SWAP = (
    START
    + """
won = 0
while (now := int(store.ref("head"))) < 50:
    try:
        store.move_ref("head", str(now), str(now + 1))
        won += 1
    except ConflictError:
        pass
print(won)
"""
)

DIE = (
    START
    + """
import os, signal
def deadly(name, at):
    real = getattr(os, name)
    def call(*args, **kwargs):
        counter[0] += 1
        if counter[0] == at:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*args, **kwargs)
    setattr(os, name, call)
scan = Scanner(root / "stat-cache").scan(source)
point = 0
while True:
    point += 1
    pid = os.fork()
    if pid == 0:
        counter = [0]
        for name in source.name.split():
            deadly(name, point)
        store = DirectoryStore(root / str(point))
        store.put_tree(scan.tree, source)
        store.record(scan.digest, b"result")
        store.move_ref("head", None, "value")
        os._exit(0)
    if os.waitpid(pid, 0)[1] == 0:
        break
print(point)
"""
)


def start(script: str, root: Path, sources: Sequence[Path]) -> list[subprocess.Popen[str]]:
    """Start one process for each source and let them all go at once."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(root), str(source), str(number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number, source in enumerate(sources)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    return processes


def ends(processes: Sequence[subprocess.Popen[str]]) -> list[str]:
    """Wait for all; return what each said."""
    said = [process.communicate(timeout=60)[0].strip() for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes)
    return said


def fill(root: Path, mark: str, count: int = 30) -> Path:
    """Small files, ten of them the same everywhere, and a large one."""
    (root / "sub").mkdir(parents=True)
    for number in range(count):
        (root / "sub" / f"{number}").write_text(f"{number if number < 10 else mark}{number}")
    (root / "large").write_text(mark * 100_000)
    return root


def test_processes_that_put_the_same_and_different_trees_at_once_all_succeed(
    store: DirectoryStore, scanner: Scanner, tmp_path: Path
) -> None:
    sources = [fill(tmp_path / mark, mark) for mark in "ab"]
    ends(start(PUT, store.root, [*sources, *sources]))
    for number, source in enumerate(sources):
        store.checkout(scanner.scan(source).digest, tmp_path / f"back-{number}")
        assert scanner.scan(tmp_path / f"back-{number}").digest == scanner.scan(source).digest
    assert list(verify(store)) == []
    assert list(files_of(store, "tmp")) == []


def test_each_turn_of_a_ref_is_won_by_exactly_one_process(store: DirectoryStore, tmp_path: Path) -> None:
    store.move_ref("head", None, "0")
    won = ends(start(SWAP, store.root, [tmp_path] * 3))
    assert sum(map(int, won)) == 50
    assert store.ref("head") == "50"


NAMING = "rename link unlink mkdir"
CALLS = NAMING + " open write fsync utime close"


@pytest.mark.parametrize("calls", [NAMING, pytest.param(CALLS, marks=pytest.mark.slow)])
def test_a_writer_killed_at_any_point_leaves_nothing_half_named(scanner: Scanner, tmp_path: Path, calls: str) -> None:
    source = fill(tmp_path / calls, "x", FEW)
    tree = scanner.scan(source).tree
    (said,) = ends(start(DIE, tmp_path / "stores", [source]))
    points = int(said)
    assert points > 15
    seen = set()
    for point in range(1, points + 1):
        store = DirectoryStore(tmp_path / "stores" / str(point))
        assert list(verify(store)) == []
        state = (store.has_tree(tree.digest), store.result(tree.digest), store.ref("head"))
        seen.add(state)
        store.put_tree(tree, source)
        assert store.record(tree.digest, b"result") == b"result"
        if state[2] is None:
            store.move_ref("head", None, "value")
        store.checkout(tree.digest, tmp_path / f"back-{point}")
        assert scanner.scan(tmp_path / f"back-{point}").digest == tree.digest
        assert list(verify(store)) == []
    assert seen == {
        (False, None, None),
        (True, None, None),
        (True, b"result", None),
        (True, b"result", "value"),
    }


@pytest.mark.slow
def test_writers_killed_at_random_moments_leave_a_sound_store(
    store: DirectoryStore, scanner: Scanner, tmp_path: Path
) -> None:
    source = fill(tmp_path / "source", "x")
    kept = scanner.scan(source)
    store.put_tree(kept.tree, source)
    for turn in range(12):
        sources = [fill(tmp_path / f"{turn}-{number}", f"{turn}{number}") for number in range(2)]
        processes = start(PUT, store.root, sources)
        time.sleep(turn * 0.003)
        for process in processes:
            process.kill()
            process.communicate()
        assert list(verify(DirectoryStore(store.root))) == []
        for number, path in enumerate(sources):
            scan = scanner.scan(path)
            store.put_tree(scan.tree, path)
            store.checkout(scan.digest, tmp_path / f"back-{turn}-{number}")
    store.checkout(kept.digest, tmp_path / "back")
    assert scanner.scan(tmp_path / "back").digest == kept.digest


def test_a_reader_that_knows_a_pack_survives_its_end(
    store: DirectoryStore, put: Callable[..., Digest], tmp_path: Path
) -> None:
    digest = put({f"{number}": b"%d" % number for number in range(20)})
    store.checkout(digest, tmp_path / "before")
    other = DirectoryStore(store.root)
    for found in list(files_of(other, "packs")):
        Path(found.path).unlink()
    with pytest.raises(NotFoundError):
        other.checkout(digest, tmp_path / "after")
    assert not (tmp_path / "after").exists()
