"""Who lives on this machine, as /proc tells: a pid names a process for good only together with its start time."""

import os
import signal
from collections.abc import Iterator

import msgspec


class Identity(msgspec.Struct, frozen=True):
    """`start` is in clock ticks since boot."""

    pid: int
    start: int

    def alive(self) -> bool:
        """Whether this very process runs; a zombie, which `kill -0` still reaches, has ended."""
        found = _stat(self.pid)
        return found is not None and found.start == self.start


class _Stat(msgspec.Struct, frozen=True):
    pid: int
    session: int
    start: int


def this_process() -> Identity:
    found = _stat(os.getpid())
    assert found is not None
    return Identity(found.pid, found.start)


def boot_id() -> str:
    return _read("/proc/sys/kernel/random/boot_id").decode().strip()


def host_name() -> str:
    """As the wrapper reads it."""
    return _read("/proc/sys/kernel/hostname").decode().strip()


def group_exists(group: int) -> bool:
    """Whether anything, be it a zombie, is in that process group; False is final, True calls for a closer look."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def survivors(leader: Identity | None, mark: bytes) -> list[int]:
    """Live processes of the session that `leader` opened, and all that carry `mark` (NAME=value) in their environment."""
    reused = leader is not None and (found := _stat(leader.pid)) is not None and found.start != leader.start
    session = None if leader is None or reused else leader
    return [
        found.pid
        for found in _all()
        if (session and found.session == session.pid and found.start >= session.start) or _carries(found.pid, mark)
    ]


def end(pids: list[int]) -> None:
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            continue


def _all() -> Iterator[_Stat]:
    own = os.getpid()
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != own and (found := _stat(int(name))) is not None:
            yield found


def _stat(pid: int) -> _Stat | None:
    """None: gone, or dead and only not reaped yet."""
    # The command's name stands in parentheses and may hold anything, so fields are counted from the last one: state is the third.
    fields = _read(f"/proc/{pid}/stat").rpartition(b") ")[2].split()
    if len(fields) < 20 or fields[0] in (b"Z", b"X"):
        return None
    return _Stat(pid, session=int(fields[3]), start=int(fields[19]))


def _carries(pid: int, mark: bytes) -> bool:
    return mark in _read(f"/proc/{pid}/environ").split(b"\0")


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""
