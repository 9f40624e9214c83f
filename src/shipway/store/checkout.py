"""Writes a listing's files, links and directories to a fresh place, each checked against its digest."""

import os

from shipway.errors import UsageError
from shipway.specs.trees import Entry
from shipway.store.contents import Contents
from shipway.store.durable import unlink
from shipway.store.listings import Listing
from shipway.store.packs import SMALL_FILE, Place

_EXCLUSIVE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def write_listing(listing: Listing, contents: Contents, target: str) -> None:
    """
    `target` must not exist or be an empty directory; where writing fails, nothing is left there.

    The listing has been checked to stay inside itself (trees.py). Raises UsageError, NotFoundError, CorruptError.
    """
    _make_room(target, directory=listing.tree.is_directory)
    try:
        if listing.tree.is_directory:
            _write_directory(listing, contents, target)
        else:
            _write_file(contents, target, listing.entries[0], listing.place(0))
    except BaseException:
        import shutil  # rarely needed, and slow to load

        shutil.rmtree(target, ignore_errors=True)
        unlink(target)
        raise


def _make_room(target: str, *, directory: bool) -> None:
    try:
        os.makedirs(os.path.dirname(target) or ".", exist_ok=True)
        if os.path.isdir(target) and not os.path.islink(target):
            os.rmdir(target)
        elif os.path.lexists(target):
            raise FileExistsError
        if directory:
            os.mkdir(target)
    except OSError as error:
        raise UsageError(f"{target} is not an empty place to check out to", hint="move what is there away") from error


def _write_directory(listing: Listing, contents: Contents, target: str) -> None:
    made = {""}
    for at, entry in enumerate(listing.entries):
        parent = entry.path.rpartition("/")[0]
        if parent not in made:
            os.makedirs(f"{target}/{parent}", exist_ok=True)
            made.add(parent)
        path = f"{target}/{entry.path}"
        if entry.digest is not None:
            _write_file(contents, path, entry, listing.place(at))
        elif entry.target is not None:
            os.symlink(entry.target, path)


def _write_file(contents: Contents, path: str, entry: Entry, place: Place | None) -> None:
    mode = 0o777 if entry.executable else 0o666
    assert entry.digest is not None
    if entry.size >= SMALL_FILE:
        contents.copy(entry.digest, path, mode)
        return
    data = contents.read(entry, place)
    fd = os.open(path, _EXCLUSIVE, mode)
    try:
        while data:
            data = data[os.write(fd, data) :]
    finally:
        os.close(fd)
