"""Noticing that something was written, from stat data alone."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from shipway.store.hashing import changed, signature


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "data" / "sub").mkdir(parents=True)
    (tmp_path / "data" / "a").write_text("a")
    (tmp_path / "data" / "sub" / "b").write_text("b")
    return tmp_path / "data"


def put_time_back(root: Path) -> None:
    was = (root / "a").stat()
    (root / "a").write_text("A")
    os.utime(root / "a", ns=(was.st_atime_ns, was.st_mtime_ns))


def swap(root: Path) -> None:
    was = (root / "a").stat()
    (root / "new").write_text("A")
    os.utime(root / "new", ns=(was.st_atime_ns, was.st_mtime_ns))
    (root / "new").rename(root / "a")


CHANGES: dict[str, tuple[Callable[[Path], object], list[str]]] = {
    "write": (lambda root: (root / "a").write_text("A"), ["a"]),
    "write and put the time back": (put_time_back, ["a"]),
    "replace by one that looks alike": (swap, ["a"]),
    "touch": (lambda root: os.utime(root / "a"), ["a"]),
    "mode": (lambda root: (root / "a").chmod(0o600), ["a"]),
    "add": (lambda root: (root / "sub" / "c").write_text(""), ["sub/c"]),
    "add junk": (lambda root: (root / "x.pyc").write_text(""), ["x.pyc"]),
    "add an empty directory": (lambda root: (root / "d").mkdir(), ["d/"]),
    "remove": (lambda root: (root / "a").unlink(), ["a"]),
    "rename": (lambda root: (root / "a").rename(root / "z"), ["a", "z"]),
    "replace by a link": (lambda root: [(root / "a").unlink(), (root / "a").symlink_to("sub/b")], ["a"]),
}


@pytest.mark.parametrize("case", CHANGES)
def test_what_was_written_is_named(root: Path, case: str) -> None:
    act, names = CHANGES[case]
    before = signature(root)
    act(root)
    assert changed(root, before) == names


def test_reading_changes_nothing(root: Path) -> None:
    before = signature(root)
    (root / "a").read_text()
    list(root.rglob("*"))
    assert changed(root, before) == []


def test_a_single_file_has_a_signature(root: Path) -> None:
    before = signature(root / "a")
    assert changed(root / "a", before) == []
    (root / "a").write_text("A")
    assert changed(root / "a", before) == ["."]


def test_all_is_changed_when_it_is_gone(root: Path, tmp_path: Path) -> None:
    before = signature(root)
    root.rename(tmp_path / "away")
    assert changed(root, before) == ["a", "sub/b"]
