"""Reads files for hashing and storing: small ones in one read, large ones as a stream, clones where the file system can."""

import errno
import fcntl
import hashlib
import os
from collections.abc import Iterator

SMALL = 1 << 20
"""Files up to this size in bytes are read at once."""

_CHUNK = 1 << 20
_FICLONE = 0x40049409
_NO_CLONE = {errno.EOPNOTSUPP, errno.EXDEV, errno.EINVAL, errno.ENOTTY, errno.ENOSYS, errno.EPERM, errno.EBADF}


def hash_file(path: str, size: int) -> tuple[bytes, int]:
    """SHA-256 and length of what is there now; `size` is what it is expected to be. A link is refused by OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        if size <= SMALL:
            data = os.read(fd, size + 1)
            if len(data) <= size:
                return hashlib.sha256(data).digest(), len(data)
            os.lseek(fd, 0, os.SEEK_SET)
        return _hash(fd)
    finally:
        os.close(fd)


def read_file(path: str, size: int) -> bytes:
    """The first `size` + 1 bytes of a small file, so that a grown one is noticed."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        return os.read(fd, size + 1)
    finally:
        os.close(fd)


def copy_hashing(source: str, target: str, mode: int) -> bytes:
    """Copy to a new file, as a clone if possible, and return the SHA-256 of the bytes that the copy holds."""
    reader = os.open(source, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        writer = os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        try:
            return _hash(writer)[0] if _clone(reader, writer) else _copy(reader, writer)
        finally:
            os.close(writer)
    finally:
        os.close(reader)


def _clone(reader: int, writer: int) -> bool:
    try:
        fcntl.ioctl(writer, _FICLONE, reader)
    except OSError as error:
        if error.errno in _NO_CLONE:
            return False
        raise
    return True


def _copy(reader: int, writer: int) -> bytes:
    # One pass: copy_file_range would have to read the copy again to hash it, which is no faster (docs/store.md).
    sha = hashlib.sha256()
    for piece in _pieces(reader):
        sha.update(piece)
        while piece:
            piece = piece[os.write(writer, piece) :]
    return sha.digest()


def _hash(fd: int) -> tuple[bytes, int]:
    sha = hashlib.sha256()
    length = 0
    for piece in _pieces(fd):
        sha.update(piece)
        length += len(piece)
    return sha.digest(), length


def _pieces(fd: int) -> Iterator[memoryview]:
    buffer = memoryview(bytearray(_CHUNK))
    while length := os.readv(fd, [buffer]):
        yield buffer[:length]
