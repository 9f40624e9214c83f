"""Names this process in leases, and tells whether another such process is gone for sure."""

import os
from pathlib import Path

from shipway.pipeline.engine import Owner


def this_process() -> Owner:
    return Owner(name=_name(os.getpid()), dead=is_dead)


def is_dead(owner: str) -> bool:
    """True only where we can know: a process of this very host that is no more. One on another host may live."""
    host, boot, pid, started = [*owner.split("/"), "", "", ""][:4]
    if host != os.uname().nodename or not pid.isdigit():
        return False
    return boot != _boot() or _started(int(pid)) != started


def _name(pid: int) -> str:
    return f"{os.uname().nodename}/{_boot()}/{pid}/{_started(pid)}"


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()[:8]


def _started(pid: int) -> str | None:
    """The process's start in clock ticks since boot (proc(5), field 22), or None if it's gone or a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]
