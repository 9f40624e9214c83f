"""Starts processes that outlive this one: a session of their own, no descriptor of ours but the log, nobody waiting for them."""

import errno
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from shipway.backends.environment import job_environment
from shipway.backends.jobdir import JobDirectory
from shipway.errors import InvalidJobError, UnsupportedError
from shipway.specs.jobs import JobSpec

_WRAPPER = str(Path(__file__).with_name("wrapper.sh"))
GRACE_SECONDS = 5
"""Between TERM and KILL."""

_children: set[int] = set()
"""What this process started and has not reaped yet."""


def launch(directory: JobDirectory, job: JobSpec) -> None:
    """Start a wrapper; it runs the job unless another one has claimed it."""
    setsid = shutil.which("setsid")
    if setsid is None:
        raise UnsupportedError("there is no program `setsid` here", hint="install util-linux")
    timeout = "" if job.timeout is None else str(max(job.timeout.total_seconds(), 0.001))
    argv = ["run", str(directory.path), setsid, timeout, str(GRACE_SECONDS), *job.command]
    log = os.open(directory.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        _start(argv, directory.work, job_environment(job, str(directory.path), os.environ), log)
    except OSError as error:
        if error.errno == errno.E2BIG:
            raise InvalidJobError(
                f"command and variables of stage {job.stage!r} are too long for this machine"
            ) from error
        raise
    finally:
        os.close(log)


def launch_end(directory: JobDirectory) -> None:
    """Start what ends the job: TERM at once, KILL after the grace."""
    _start(["end", str(directory.path), str(GRACE_SECONDS)], directory.path, {"PATH": os.defpath}, subprocess.DEVNULL)


def reap() -> None:
    """Take the exit codes of children that have ended; as zombies they would fill the process table."""
    for pid in tuple(_children):
        try:
            ended, _ = os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:
            ended = pid
        if ended:
            _children.discard(pid)


def _start(argv: Sequence[str], cwd: Path, env: Mapping[str, str], log: int) -> None:
    child = subprocess.Popen(
        ["/bin/sh", _WRAPPER, *argv],
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        start_new_session=True,
    )
    _children.add(child.pid)
    child.returncode = 0  # it is none of this object's any more, which else would complain that it still runs
