"""Values read from the user's files, kept by the digest of the text, so that an unchanged file is not read again."""

import os
from pathlib import Path
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")

_KEPT = 32


def recall(path: Path, form: type[T]) -> T | None:
    """What is kept at `path`, or None; a file that does not hold it is as good as none."""
    try:
        return msgspec.msgpack.decode(path.read_bytes(), type=form)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, ValueError):
        return None


def keep(path: Path, value: Any) -> None:
    """A cache that cannot be written is no fault of the project's."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f"{path.name}.{os.getpid()}")
        temporary.write_bytes(msgspec.msgpack.encode(value))
        temporary.replace(path)
        _prune(path)
    except OSError:
        return


def _prune(path: Path) -> None:
    """Others keep things in the same directory, so only our own kind goes."""
    kind = path.name.partition("-")[0]
    entries = sorted(path.parent.glob(f"{kind}-*"), key=lambda entry: entry.stat().st_mtime_ns)
    for old in entries[:-_KEPT]:
        old.unlink(missing_ok=True)
