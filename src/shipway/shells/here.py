"""This machine as a shell: argv goes to the kernel as it is."""

import errno
import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from typing import IO

from shipway.errors import NotFoundError, UnavailableError
from shipway.shells.base import Completed, Shell

_PIECE = 1 << 16
_TOLD = 2000
"""So many bytes of the end of stderr go into an error."""


class Here(Shell):
    """Each command leads its own process group, so that it ends together with all that it started."""

    def run(self, argv: Sequence[str], *, stdin: bytes = b"", timeout: float = 30.0) -> Completed:
        with _start(argv, subprocess.PIPE, subprocess.PIPE) as process:
            try:
                stdout, stderr = process.communicate(stdin, timeout)
            except subprocess.TimeoutExpired:
                raise UnavailableError(f"{_said(argv)} was not done after {timeout:g} s, and was ended") from None
            finally:
                _end(process)
        return Completed(code=process.returncode, stdout=stdout, stderr=stderr)

    def stream(self, argv: Sequence[str], *, stdin: IO[bytes] | None = None) -> Iterator[bytes]:
        # stderr goes to a file: a pipe that nobody reads would fill up and stop the command.
        with tempfile.TemporaryFile() as stderr, _start(argv, stdin or subprocess.DEVNULL, stderr) as process:
            assert process.stdout is not None
            try:
                while piece := os.read(process.stdout.fileno(), _PIECE):
                    yield piece
                process.wait()
            finally:
                _end(process)
            if process.returncode:
                stderr.seek(max(0, stderr.seek(0, os.SEEK_END) - _TOLD))
                last = stderr.read().decode(errors="replace").strip()
                raise UnavailableError(f"{_said(argv)} ended with {process.returncode}: {last}")


def _start(argv: Sequence[str], stdin: int | IO[bytes], stderr: int | IO[bytes]) -> "subprocess.Popen[bytes]":
    try:
        return subprocess.Popen(argv, stdin=stdin, stdout=subprocess.PIPE, stderr=stderr, process_group=0)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.EACCES, errno.ENOTDIR, errno.ENOEXEC):
            raise NotFoundError(f"there is no program {argv[0]!r} here, or it cannot be run") from error
        raise UnavailableError(f"{_said(argv)} could not be started: {error.strerror}") from error


def _end(process: "subprocess.Popen[bytes]") -> None:
    """
    End the whole group, whether the command itself has ended or not.

    Once the command has been reaped, its number still names the group while anything is left in it.
    """
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return


def _said(argv: Sequence[str]) -> str:
    """The program only: arguments may be long, and others' secrets."""
    return f"command {argv[0]!r}"
