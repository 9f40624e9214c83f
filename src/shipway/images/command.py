"""Runs one installer command to its end: output into a log, a deadline, credentials masked."""

import os
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import msgspec

from shipway.errors import BuildError
from shipway.images.masking import masked

_SHOWN = 12
"""Lines of output that an error carries; the log has all."""

_HINTS = (
    (
        "ensurepip is not available",
        "install uv (`pip install uv`), or your system's venv package (Debian: python3-venv)",
    ),
    ("no space left", "free some space and run again"),
    ("requirements are unsatisfiable", "change the versions that contradict each other"),
    ("resolutionimpossible", "change the versions that contradict each other"),
    ("no matching distribution", "check the name, the version, and the index (`--index-url`)"),
    ("not found in the package registry", "check the name, the version, and the index (`--index-url`)"),
    ("was not found in the provided package locations", "check the name, and the directory of `--find-links`"),
    ("hash", "the file's hashes differ from what the index has; make the lock again if that is expected"),
)
"""What output contains, in lower case, and what to do then; the first that fits."""


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """`what` says it in words (`install requirements.txt`); `seconds` is how long all may take."""

    what: str
    argv: Sequence[str]
    cwd: Path
    log: Path
    env: Mapping[str, str]
    limit: timedelta


def run(command: Command) -> None:
    """Raises BuildError with the last lines of the output, and where the rest is."""
    command.log.parent.mkdir(parents=True, exist_ok=True)
    # Packages' own build scripts print what they like.
    with open(os.open(command.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "w", encoding="utf-8") as log:
        log.write(masked(f"$ {' '.join(command.argv)}\n"))
        log.flush()
        try:
            process = subprocess.Popen(
                command.argv,
                cwd=command.cwd,
                env=command.env,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            raise BuildError(f"could not {command.what}: {command.argv[0]}: {error.strerror}") from error
        late = threading.Event()
        timer = threading.Timer(command.limit.total_seconds(), _end, (process, late))
        timer.start()
        last: deque[str] = deque(maxlen=_SHOWN)
        try:
            assert process.stdout is not None
            with process.stdout:
                for raw in process.stdout:
                    line = masked(raw.decode(errors="replace").rstrip())
                    last.append(line)
                    log.write(f"{line}\n")
            process.wait()
        except BaseException:
            _kill(process)
            raise
        finally:
            timer.cancel()
    if late.is_set():
        raise BuildError(
            f"could not {command.what}: not done after {command.limit}", hint=f"see what it did: {command.log}"
        )
    if process.returncode:
        raise _failed(command, list(last))


def _end(process: "subprocess.Popen[bytes]", late: threading.Event) -> None:
    late.set()
    _kill(process)


def _kill(process: "subprocess.Popen[bytes]") -> None:
    """It and all that it started: builds start compilers."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _failed(command: Command, last: list[str]) -> BuildError:
    said = "\n".join(last)
    lower = said.lower()
    advice = next((f"{hint}; " for mark, hint in _HINTS if mark in lower), "")
    return BuildError(f"could not {command.what}:\n{said}", hint=f"{advice}all of the output: {command.log}")
