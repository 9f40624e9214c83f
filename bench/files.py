"""
20,000 files of 4 KB as an input, against `dvc add`: stored the first time, and looked at again unchanged.

Whole processes on the wall clock, the two sides in turn, each on its own copy of the same files. Run by itself:
`python bench/files.py --dvc PATH`.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from timing import in_turn, line, quiet_environment, timed

COUNT = 20_000
SIZE = 4096
PER_DIRECTORY = 500
FIRST_ROUNDS = 2
AGAIN_ROUNDS = 3
SHIPWAY = str(Path(sys.executable).with_name("shipway"))

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

PROJECT = """
project: files
tracking: off
stages:
  look: {run: "ls data > seen.txt", inputs: [data], outputs: [seen.txt]}
"""


def measure(dvc: Path, work: Path) -> list[dict[str, object]]:
    """Both lines; `dvc` is its executable, `work` a directory to fill, on the disk that is to be measured."""
    first: list[tuple[float, float]] = []
    again: list[tuple[float, float]] = []
    for number in range(FIRST_ROUNDS):
        round_ = Round(dvc, work / f"round-{number}")
        first.append(in_turn(round_.store, round_.add, number))
        if number == FIRST_ROUNDS - 1:
            round_.run()
            again = [in_turn(round_.plan, round_.add, turn) for turn in range(AGAIN_ROUNDS)]
        shutil.rmtree(work / f"round-{number}")
    return [
        line(f"store {COUNT:,} files of 4 KB the first time", first, goal=5.0),
        line(f"plan with {COUNT:,} unchanged files, against adding them again", again, goal=10.0),
    ]


class Round:
    """Two fresh copies of the files, a fresh store and a fresh DVC repository."""

    def __init__(self, dvc: Path, work: Path) -> None:
        self._dvc = str(dvc)
        self._ours = work / "ours"
        self._theirs = work / "theirs"
        self._env = quiet_environment(work)
        for side in (self._ours, self._theirs):
            fill(side / "data")
        (self._ours / "shipway.yaml").write_text(PROJECT)
        self._run([self._dvc, "init", "--no-scm", "--quiet"], self._theirs)  # also has both sides' modules compiled
        self._python("import shipway.store.directory, shipway.store.hashing")
        os.sync()

    def store(self) -> float:
        return self._python(STORE, str(self._ours), str(self._ours / "data"), str(COUNT))

    def plan(self) -> float:
        return self._run([SHIPWAY, "plan"], self._ours)

    def run(self) -> float:
        return self._run([SHIPWAY, "run"], self._ours)

    def add(self) -> float:
        return self._run([self._dvc, "add", "--quiet", "data"], self._theirs)

    def _python(self, script: str, *args: str) -> float:
        return self._run([sys.executable, "-c", script, *args], self._ours)

    def _run(self, argv: Sequence[str], directory: Path) -> float:
        return timed(argv, directory, self._env)


def fill(root: Path) -> None:
    """Random files, so that no file system or cache can save anything."""
    for number in range(COUNT):
        directory = root / f"part-{number // PER_DIRECTORY:03}"
        if number % PER_DIRECTORY == 0:
            directory.mkdir(parents=True)
        (directory / f"{number:06}.bin").write_bytes(os.urandom(SIZE))


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
