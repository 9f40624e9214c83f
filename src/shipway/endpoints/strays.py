"""
Ends what a dead keeper left running.

Revisions are told by the kernel to die with their keeper, but what they started themselves is not. Everything carries the endpoint's
directory in its environment, so it is found by that rather than by a process id that may be another's by now.
"""

import contextlib
import os
import signal
import time
from pathlib import Path

MARK = "SHIPWAY_ENDPOINT_HOME"


def find(home: Path) -> list[int]:
    """Processes of this user that carry the mark, without ourselves and our ancestors. Empty where there is no /proc."""
    mark = f"{MARK}={home}".encode()
    mine = _ancestors()
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if int(entry.name) not in mine and mark in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
    return found


def end(home: Path, patience: float = 5.0) -> None:
    """Kill them and wait until they are gone, at most `patience` seconds."""
    deadline = time.monotonic() + patience
    while strays := find(home):
        for pid in strays:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() > deadline:
            return
        time.sleep(0.02)


def _ancestors() -> set[int]:
    pids, pid = set(), os.getpid()
    while pid > 0 and pid not in pids:
        pids.add(pid)
        try:
            # The name in parentheses may hold anything, so count from its end: state, then the parent.
            pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, IndexError, ValueError):
            break
    return pids
