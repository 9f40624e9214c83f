"""How the keeper comes to life: one of a kind, and no longer its caller's child."""

import contextlib
import fcntl
import os
import sys
import time
from collections.abc import Iterator

LOCK_PATIENCE_SECONDS = 10.0


def take_lock(path: str) -> None:
    """Held, also through a fork, until the last process that has it ends; the kernel lets go of it, however they end."""
    lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    # The one before may have closed its socket and be about to end.
    deadline = time.monotonic() + LOCK_PATIENCE_SECONDS
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > deadline:
                sys.exit(f"another process holds {os.path.abspath(path)}")
            time.sleep(0.02)


@contextlib.contextmanager
def born(log: str) -> Iterator[None]:
    """
    Only the daemon enters the block. The process that its caller waits for ends after it: with 0, or with 1 where the block failed,
    whose traceback then stands on the caller's stderr.
    """
    reading, writing = os.pipe()
    if os.fork():
        os.close(writing)
        os._exit(0 if os.read(reading, 1) else 1)
    os.close(reading)
    os.setsid()
    yield
    _detach(log)
    os.write(writing, b"1")
    os.close(writing)


def _detach(log: str) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for fd, target in ((null, 0), (output, 1), (output, 2)):
        os.dup2(fd, target)
