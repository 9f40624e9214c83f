"""Views: made once, shared, and found out when written into."""

import os
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from shipway.errors import CorruptError, NotFoundError, UsageError
from shipway.specs.trees import Digest, digest_of
from shipway.store.directory import DirectoryStore
from shipway.store.hashing import Scanner
from shipway.store.views import Views

FILES = {"a": b"a", "sub/b": b"b", "sub/deep/c": b"c"}


@pytest.fixture
def views(tmp_path: Path, store: DirectoryStore) -> Views:
    return Views(tmp_path / "views", store)


@pytest.fixture
def digest(put: Callable[..., Digest]) -> Digest:
    return put(FILES)


def test_a_view_holds_the_tree_and_nothing_else(views: Views, scanner: Scanner, digest: Digest) -> None:
    path = views.view(digest)
    scan = scanner.scan(path)
    assert scan.digest == digest
    assert scan.exact
    assert views.changed(digest) == []


def test_a_view_is_made_once(views: Views, digest: Digest) -> None:
    inode = (views.view(digest) / "a").stat().st_ino
    assert (views.view(digest) / "a").stat().st_ino == inode


def test_a_view_is_read_only(views: Views, digest: Digest) -> None:
    path = views.view(digest)
    assert all(not found.stat().st_mode & 0o222 for found in (path, *path.rglob("*")))


def test_what_is_written_into_a_view_is_named(views: Views, digest: Digest) -> None:
    path = views.view(digest)
    (path / "sub").chmod(0o755)
    (path / "sub" / "b").chmod(0o644)
    (path / "sub" / "b").write_bytes(b"B")
    (path / "sub" / "new").write_bytes(b"")
    assert views.changed(digest) == ["sub/b", "sub/new"]


def test_a_discarded_view_is_made_afresh(views: Views, digest: Digest, tmp_path: Path) -> None:
    path = views.view(digest)
    path.chmod(0o755)
    (path / "new").write_bytes(b"")
    views.discard(digest)
    assert not path.exists()
    assert list((tmp_path / "views" / "tmp").iterdir()) == []
    assert sorted(os.listdir(views.view(digest))) == ["a", "sub"]
    assert views.changed(digest) == []


def test_discarding_what_is_not_there_is_no_error(views: Views, digest: Digest) -> None:
    views.discard(digest)
    with pytest.raises(NotFoundError, match=digest):
        views.changed(digest)


def test_a_single_file_is_never_a_view(store: DirectoryStore, scanner: Scanner, views: Views, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    digest = store.put_tree(scanner.scan(tmp_path / "file").tree, tmp_path / "file")
    with pytest.raises(UsageError, match="single file"):
        views.view(digest)


def test_a_tree_that_is_not_there_leaves_nothing(views: Views, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        views.view(digest_of(b"nowhere"))
    assert not (tmp_path / "views").exists()


def test_a_damaged_tree_is_never_a_view(views: Views, store: DirectoryStore, digest: Digest, tmp_path: Path) -> None:
    damaged = Path(store.contents.path(digest_of(b"a")))
    damaged.chmod(0o644)
    damaged.write_bytes(b"?")
    with pytest.raises(CorruptError):
        views.view(digest)
    assert list((tmp_path / "views").iterdir()) == [tmp_path / "views" / "tmp"]
    assert list((tmp_path / "views" / "tmp").iterdir()) == []


def test_old_views_that_nothing_needs_are_swept(
    views: Views, put: Callable[..., Digest], digest: Digest, tmp_path: Path
) -> None:
    old = put({"old": b""})
    young = put({"young": b""})
    homes = {each: views.view(each).parent for each in (digest, old, young)}
    (tmp_path / "views" / "tmp" / "dead").mkdir()
    for path in (homes[digest], homes[old], tmp_path / "views" / "tmp" / "dead"):
        os.utime(path, (1, 1))
    assert views.sweep([digest], grace=timedelta(hours=1)) == 2
    assert sorted(os.listdir(tmp_path / "views")) == sorted([digest, young, "tmp"])
    assert os.listdir(tmp_path / "views" / "tmp") == []


def test_many_at_once_get_one_view(store: DirectoryStore, digest: Digest, tmp_path: Path) -> None:
    paths: list[Path] = []
    start = threading.Barrier(4)

    def view() -> None:
        start.wait()
        paths.append(Views(tmp_path / "views", store).view(digest))

    threads = [threading.Thread(target=view) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(paths) == 4
    assert len(set(paths)) == 1
    assert Views(tmp_path / "views", store).changed(digest) == []
    assert list((tmp_path / "views" / "tmp").iterdir()) == []
