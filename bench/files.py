"""
20,000 files of 4 KB as an input, against `dvc add`: stored the first time, and looked at again unchanged.

Whole processes on the wall clock, the two sides in turn, each on its own copy of the same files. Run by itself:
`python bench/files.py --dvc PATH`.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

COUNT = 20_000
SIZE = 4096
PER_DIRECTORY = 500
FIRST_ROUNDS = 2
AGAIN_ROUNDS = 3

STORE = """
import sys
from pathlib import Path
from shipway.store.directory import DirectoryStore
from shipway.store.hashing import Scanner
home, data = Path(sys.argv[1]), Path(sys.argv[2])
scanner = Scanner(home / "stat-cache")
scan = scanner.scan(data)
assert scan.files == int(sys.argv[3])
DirectoryStore(home / "store").put_tree(scan.tree, data, digest=scan.digest)
scanner.save()
"""

LOOK = """
import sys
from pathlib import Path
from shipway.store.directory import DirectoryStore
from shipway.store.hashing import Scanner
home, data = Path(sys.argv[1]), Path(sys.argv[2])
scanner = Scanner(home / "stat-cache")
scan = scanner.scan(data)
assert scan.files == int(sys.argv[3])
assert DirectoryStore(home / "store").has_tree(scan.digest)
scanner.save()
"""


def measure(dvc: Path, work: Path) -> list[dict[str, object]]:
    """Both lines; `dvc` is its executable, `work` a directory to fill, on the disk that is to be measured."""
    first: list[tuple[float, float]] = []
    again: list[tuple[float, float]] = []
    for number in range(FIRST_ROUNDS):
        round_ = Round(dvc, work / f"round-{number}")
        first.append(in_turn(round_.store, round_.add, number))
        if number == FIRST_ROUNDS - 1:
            again = [in_turn(round_.look, round_.add, turn) for turn in range(AGAIN_ROUNDS)]
        shutil.rmtree(work / f"round-{number}")
    return [
        line(f"store {COUNT:,} files of 4 KB the first time", first, goal=5.0),
        line(f"look at {COUNT:,} unchanged files again", again, goal=10.0),
    ]


class Round:
    """Two fresh copies of the files, a fresh store and a fresh DVC repository."""

    def __init__(self, dvc: Path, work: Path) -> None:
        self._dvc = str(dvc)
        self._ours = work / "ours"
        self._theirs = work / "theirs"
        self._env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        self._env |= {"DVC_NO_ANALYTICS": "1", "DVC_SITE_CACHE_DIR": str(work / "site"), "HOME": str(work)}
        for side in (self._ours, self._theirs):
            fill(side / "data")
        self._run([self._dvc, "init", "--no-scm", "--quiet"], self._theirs)  # also has both sides' modules compiled
        self._python("import shipway.store.directory, shipway.store.hashing")
        os.sync()

    def store(self) -> float:
        return self._python(STORE, str(self._ours), str(self._ours / "data"), str(COUNT))

    def look(self) -> float:
        return self._python(LOOK, str(self._ours), str(self._ours / "data"), str(COUNT))

    def add(self) -> float:
        return self._run([self._dvc, "add", "--quiet", "data"], self._theirs)

    def _python(self, script: str, *args: str) -> float:
        return self._run([sys.executable, "-c", script, *args], self._ours)

    def _run(self, argv: Sequence[str], directory: Path) -> float:
        started = time.perf_counter()
        done = subprocess.run(argv, cwd=directory, env=self._env, capture_output=True, text=True, check=False)
        taken = time.perf_counter() - started
        if done.returncode:
            raise SystemExit(f"{' '.join(argv[:2])} ended with {done.returncode}: {done.stderr[-2000:]}")
        return taken


def fill(root: Path) -> None:
    """Random files, so that no file system or cache can save anything."""
    for number in range(COUNT):
        directory = root / f"part-{number // PER_DIRECTORY:03}"
        if number % PER_DIRECTORY == 0:
            directory.mkdir(parents=True)
        (directory / f"{number:06}.bin").write_bytes(os.urandom(SIZE))


def in_turn(ours: Callable[[], float], theirs: Callable[[], float], turn: int) -> tuple[float, float]:
    """Seconds of ours and theirs; who goes first alternates, and neither pays for what the other left to be written."""
    if turn % 2:
        peer = theirs()
        os.sync()
        own = ours()
    else:
        own = ours()
        os.sync()
        peer = theirs()
    os.sync()
    return own, peer


def line(name: str, pairs: Sequence[tuple[float, float]], *, goal: float) -> dict[str, object]:
    """`ratio` is the peer's time by ours; it holds if that is at least the goal."""
    ours = statistics.median(pair[0] for pair in pairs)
    peer = statistics.median(pair[1] for pair in pairs)
    ratio = peer / ours
    return {
        "name": name,
        "ours": round(ours, 3),
        "peer": round(peer, 3),
        "unit": "s",
        "goal": goal,
        "ratio": round(ratio, 2),
        "holds": ratio >= goal,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dvc", type=Path, required=True, help="the dvc executable")
    parser.add_argument("--work", type=Path, help="where to make the files (default: a temporary directory)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.work) as work:
        for result in measure(options.dvc.absolute(), Path(work)):
            print(json.dumps(result))


if __name__ == "__main__":
    main()
