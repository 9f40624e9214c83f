"""A store, a scanner and ways to fill them."""

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from shipway.specs.trees import Digest
from shipway.store.directory import DirectoryStore
from shipway.store.hashing import Scanner

Fill = Callable[..., Digest]


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    return DirectoryStore(tmp_path / "store")


@pytest.fixture
def scanner(tmp_path: Path) -> Scanner:
    return Scanner(tmp_path / "stat-cache")


@pytest.fixture
def put(store: DirectoryStore, scanner: Scanner, tmp_path: Path) -> Fill:
    """Store files given as path → content, and return the tree's digest."""

    def put(files: Mapping[str, bytes], into: DirectoryStore = store) -> Digest:
        root = tmp_path / f"source-{os.urandom(6).hex()}"
        write(root, files)
        return into.put_tree(scanner.scan(root).tree, root)

    return put


def write(root: Path, files: Mapping[str, bytes]) -> None:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)


@pytest.fixture
def age() -> Callable[[Path, float], None]:
    """Make all files below a directory older by some seconds."""

    def age(root: Path, seconds: float) -> None:
        then = time.time() - seconds
        for path in root.rglob("*"):
            if path.is_file() and not path.is_symlink():
                os.utime(path, (then, then))

    return age


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Move the clock of what is hashed, so that files written just now are old enough to be trusted."""
    real = time.time_ns

    def later(seconds: float) -> None:
        monkeypatch.setattr(time, "time_ns", lambda: real() + int(seconds * 1e9))

    return later
