"""Files that are whole or absent: temp + fsync + rename, sealed with a checksum where no digest names them, and advisory locks."""

import errno
import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from shipway.errors import CorruptError

_SEAL = 32
_READ_ONLY = (errno.EACCES, errno.EPERM, errno.EROFS)


def temporary(directory: str) -> str:
    """A fresh name in `directory`, which is made if need be; nothing there is ever read, only renamed away."""
    os.makedirs(directory, exist_ok=True)
    return f"{directory}/{os.getpid()}-{os.urandom(8).hex()}"


def write_whole(path: str, data: bytes, tmp: str, *, replace: bool = True) -> bool:
    """Write the file, surviving a crash at any moment. False if it was there and was to be kept."""
    name = temporary(tmp)
    try:
        with open(name, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        make_directory(os.path.dirname(path))
        if replace:
            os.rename(name, path)
        else:
            os.link(name, path)  # unlike rename, it fails if the name is taken
    except FileExistsError:
        return False
    finally:
        unlink(name)
    sync_directory(os.path.dirname(path))
    return True


def sync_directory(path: str) -> None:
    """Make the names in a directory survive a power cut."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def make_directory(path: str) -> None:
    """Make a directory and its parents so that they survive, too."""
    try:
        os.mkdir(path)
    except FileExistsError:
        return
    except FileNotFoundError:
        make_directory(os.path.dirname(path))
        with suppress(FileExistsError):  # once more and not for ever: some places, like /proc, keep nothing
            os.mkdir(path)
    sync_directory(os.path.dirname(path) or ".")


def unlink(path: str) -> None:
    with suppress(FileNotFoundError):
        os.unlink(path)


def freshen(path: str, tmp: str) -> bool:
    """Make the file as young as one just written; False if it isn't there. One in a store that we may only read stays as it is."""
    try:
        os.utime(path)
    except FileNotFoundError:
        return False
    except OSError:  # another user's: a copy of our own in its place is as good
        with suppress(OSError), open(path, "rb") as file:
            write_whole(path, file.read(), tmp)
    return True


@contextmanager
def locked(path: str, *, exclusive: bool) -> Iterator[None]:
    """
    Hold an advisory lock; it ends with the process, however that ends.

    Who may only read shares the lock if it is there, and needs none otherwise: nobody who could remove anything has come by.
    """
    fd = _open_lock(path, exclusive)
    if fd is None:
        yield
        return
    try:
        fcntl.flock(fd, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH)
        yield
    finally:
        os.close(fd)


def _open_lock(path: str, exclusive: bool) -> int | None:
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
    try:
        return os.open(path, flags, 0o666)
    except FileNotFoundError:
        make_directory(os.path.dirname(path))
        return os.open(path, flags, 0o666)
    except OSError as error:
        if exclusive or error.errno not in _READ_ONLY:
            raise
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None


def seal(body: bytes) -> bytes:
    return hashlib.sha256(body).digest() + body


def unseal(data: bytes, what: str) -> bytes:
    """Return what was sealed; `what` names it in the CorruptError."""
    body = data[_SEAL:]
    if hashlib.sha256(body).digest() != data[:_SEAL]:
        raise CorruptError(f"{what} is damaged", hint="run `shipway store verify`")
    return body
