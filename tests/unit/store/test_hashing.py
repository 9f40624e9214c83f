"""Scanning: what is part of a tree, and when a file is read again."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from shipway.errors import ConflictError, NotFoundError, UnsafePathError
from shipway.specs.trees import ROOT, digest_of
from shipway.store import hashing
from shipway.store.hashing import Scan, Scanner


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "data"
    (root / "sub").mkdir(parents=True)
    (root / "a.txt").write_text("a")
    (root / "sub" / "b.txt").write_text("bb")
    return root


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that were read for hashing."""
    names: list[str] = []
    real = hashing.hash_file

    def hash_file(path: str, size: int) -> tuple[bytes, int]:
        names.append(os.path.basename(path))
        return real(path, size)

    monkeypatch.setattr(hashing, "hash_file", hash_file)
    return names


def paths(scan: Scan) -> list[str]:
    return [entry.path for entry in scan.tree.entries]


# What belongs to a tree


def test_files_are_counted_and_measured(scanner: Scanner, root: Path) -> None:
    scan = scanner.scan(root)
    assert (scan.files, scan.size, scan.exact, scan.code) == (2, 3, True, False)
    assert scan.digest == scan.tree.digest
    assert paths(scan) == ["a.txt", "sub/b.txt"]


def test_content_decides_and_not_where_or_when(scanner: Scanner, root: Path, tmp_path: Path) -> None:
    before = scanner.scan(root).digest
    os.utime(root / "a.txt", (1, 1))
    moved = root.rename(tmp_path / "elsewhere")
    assert scanner.scan(moved).digest == before


def test_the_executable_bit_is_content(scanner: Scanner, root: Path) -> None:
    before = scanner.scan(root)
    (root / "a.txt").chmod(0o755)
    after = scanner.scan(root)
    assert after.digest != before.digest
    assert after.code


@pytest.mark.parametrize("name", ["x.py", "x.sh", "x.R", "x.jl", "x.ipynb", "x.pl", "x.js"])
def test_a_script_is_code(scanner: Scanner, root: Path, name: str) -> None:
    (root / "sub" / name).write_text("")
    assert scanner.scan(root).code


def test_a_single_file_is_code_by_its_own_name(scanner: Scanner, root: Path) -> None:
    for name, code in (("alone.py", True), ("alone.csv", False)):
        (root / name).write_text("1\n")
        assert scanner.scan(root / name).code is code


@pytest.mark.parametrize(
    "name", ["__pycache__/x.txt", "x.pyc", ".git/HEAD", ".DS_Store", ".shipway/x", "s/.ipynb_checkpoints/x"]
)
def test_junk_is_left_out_and_makes_the_directory_inexact(scanner: Scanner, root: Path, name: str) -> None:
    before = scanner.scan(root)
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text("junk")
    after = scanner.scan(root)
    assert after.digest == before.digest
    assert before.exact
    assert not after.exact


def test_what_is_excluded_is_left_out_with_the_directory_that_holds_only_that(scanner: Scanner, root: Path) -> None:
    before = scanner.scan(root).digest
    (root / "out" / "deep").mkdir(parents=True)
    (root / "out" / "deep" / "model").write_text("")
    (root / "sub" / "metrics.json").write_text("")
    after = scanner.scan(root, exclude=["out/deep", "sub/metrics.json"])
    assert after.digest == before
    assert not after.exact


def test_an_empty_directory_is_an_entry(scanner: Scanner, root: Path) -> None:
    (root / "none").mkdir()
    assert paths(scanner.scan(root)) == ["a.txt", "none/", "sub/b.txt"]


def test_a_link_is_kept_as_a_link(scanner: Scanner, root: Path) -> None:
    (root / "sub" / "link").symlink_to("../a.txt")
    entry = next(entry for entry in scanner.scan(root).tree.entries if entry.path == "sub/link")
    assert (entry.target, entry.digest) == ("../a.txt", None)


@pytest.mark.parametrize("target", ["/etc/passwd", "../../x", "../sub/../../x"])
def test_a_link_that_leaves_the_tree_is_refused_and_both_ends_named(scanner: Scanner, root: Path, target: str) -> None:
    (root / "sub" / "link").symlink_to(target)
    with pytest.raises(UnsafePathError) as caught:
        scanner.scan(root)
    assert "sub/link" in caught.value.message
    assert target in caught.value.message


def test_the_root_itself_may_be_a_link(scanner: Scanner, root: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("data")
    (tmp_path / "file link").symlink_to("data/a.txt")
    assert scanner.scan(tmp_path / "link").digest == scanner.scan(root).digest
    assert paths(scanner.scan(tmp_path / "file link")) == [ROOT]


def test_a_single_file_is_a_tree(scanner: Scanner, root: Path) -> None:
    scan = scanner.scan(root / "sub" / "b.txt")
    assert (paths(scan), scan.files, scan.size, scan.exact) == ([ROOT], 1, 2, True)


def test_a_socket_is_refused(scanner: Scanner, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("door")
        with pytest.raises(UnsafePathError, match="door"):
            scanner.scan(root)


def test_a_name_that_is_not_utf8_is_refused(scanner: Scanner, root: Path) -> None:
    Path(os.fsdecode(os.fsencode(root) + b"/caf\xe9")).write_text("")
    with pytest.raises(UnsafePathError, match="UTF-8"):
        scanner.scan(root)


def test_a_root_that_is_not_there_is_not_found(scanner: Scanner, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="nowhere"):
        scanner.scan(tmp_path / "nowhere")


def test_only_the_named_files_are_taken_and_the_deleted_ones_skipped(scanner: Scanner, root: Path) -> None:
    (root / "x.pyc").write_text("tracked all the same")
    scan = scanner.scan(root, files=["sub/b.txt", "x.pyc", "gone.txt", "a.txt/gone", "sub/b.txt"])
    assert paths(scan) == ["sub/b.txt", "x.pyc"]
    assert not scan.exact


def test_a_directory_among_the_named_files_is_walked(scanner: Scanner, root: Path) -> None:
    assert paths(scanner.scan(root, files=["sub/", "a.txt"], exclude=["a.txt"])) == ["sub/b.txt"]


def test_named_files_may_not_lie_outside(scanner: Scanner, root: Path) -> None:
    with pytest.raises(UnsafePathError):
        scanner.scan(root, files=["../other"])


def test_a_large_file_is_hashed_as_a_stream(scanner: Scanner, root: Path) -> None:
    (root / "large").write_bytes(bytes(3_000_001))
    entry = next(entry for entry in scanner.scan(root).tree.entries if entry.path == "large")
    assert entry.size == 3_000_001
    assert entry.digest == digest_of(bytes(3_000_001))


# When files are read again


def test_an_unchanged_file_is_not_read_again(
    scanner: Scanner, root: Path, tmp_path: Path, reads: list[str], later: Callable[[float], None]
) -> None:
    later(10)
    first = scanner.scan(root)
    scanner.save()
    reads.clear()
    for again in (scanner, Scanner(tmp_path / "stat-cache")):
        scan = again.scan(root)
        assert scan.digest == first.digest
        assert (scan.files, scan.size, scan.exact, scan.code) == (2, 3, True, False)
        assert scan.tree == first.tree
    assert reads == []


def test_only_what_changed_is_read_again(
    scanner: Scanner, root: Path, reads: list[str], later: Callable[[float], None]
) -> None:
    later(10)
    before = scanner.scan(root).digest
    reads.clear()
    (root / "a.txt").write_text("A")
    (root / "new").write_text("")
    after = scanner.scan(root)
    assert sorted(reads) == ["a.txt", "new"]
    assert after.digest != before


def test_a_write_that_puts_the_time_back_is_noticed(
    scanner: Scanner, root: Path, later: Callable[[float], None]
) -> None:
    later(10)
    before = scanner.scan(root).digest
    was = (root / "a.txt").stat()
    (root / "a.txt").write_text("A")
    os.utime(root / "a.txt", ns=(was.st_atime_ns, was.st_mtime_ns))
    assert scanner.scan(root).digest != before


def test_a_file_changed_just_before_it_was_hashed_is_not_trusted(
    scanner: Scanner, root: Path, reads: list[str]
) -> None:
    (root / "a.txt").write_text("now")
    scanner.scan(root)
    reads.clear()
    scanner.scan(root)
    assert "a.txt" in reads


def test_a_file_dated_in_the_future_is_still_remembered(
    scanner: Scanner, root: Path, reads: list[str], later: Callable[[float], None]
) -> None:
    os.utime(root / "a.txt", (4e9, 4e9))
    later(10)
    scanner.scan(root)
    reads.clear()
    scanner.scan(root)
    assert reads == []


def test_scans_of_different_parts_share_what_was_hashed(
    scanner: Scanner, root: Path, reads: list[str], later: Callable[[float], None]
) -> None:
    later(10)
    scanner.scan(root, files=["a.txt"])
    scanner.scan(root, files=["a.txt", "sub/b.txt"])
    scanner.scan(root, exclude=["a.txt"])
    scanner.scan(root)
    assert sorted(reads) == ["a.txt", "b.txt"]


@pytest.mark.parametrize("damage", [b"", b"rubbish", None])
def test_a_damaged_cache_is_as_good_as_none(
    scanner: Scanner, root: Path, tmp_path: Path, damage: bytes | None, later: Callable[[float], None]
) -> None:
    later(10)
    first = scanner.scan(root).digest
    scanner.save()
    for file in (tmp_path / "stat-cache").iterdir():
        content = file.read_bytes()
        file.write_bytes(content[:-3] + b"\xff" + content[-2:] if damage is None else damage)
    again = Scanner(tmp_path / "stat-cache")
    assert again.scan(root).digest == first
    again.save()


def test_a_cache_that_cannot_be_written_does_no_harm(root: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    scanner = Scanner(tmp_path / "file" / "cache")
    assert scanner.scan(root).files == 2
    scanner.save()


def test_a_listing_asked_for_too_late_is_a_conflict(
    scanner: Scanner, root: Path, tmp_path: Path, later: Callable[[float], None]
) -> None:
    later(10)
    scanner.scan(root)
    scanner.save()
    again = Scanner(tmp_path / "stat-cache")
    scan = again.scan(root)
    (root / "a.txt").write_text("A")
    again.scan(root)
    with pytest.raises(ConflictError, match="data"):
        _ = scan.tree
