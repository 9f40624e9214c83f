"""How a process endpoint finds its keeper, and starts one where there is none: whoever calls heals what a dead keeper left."""

import contextlib
import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import shipway
from shipway.endpoints import control
from shipway.errors import RolloutError, UnavailableError

START_SECONDS = 60.0

# What a served model sees of the caller's environment, besides what its endpoint declares. A short list, so that it neither depends on who
# happened to start the keeper nor learns that person's tokens.
PASSED = (
    "PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH",
    "CUDA_VISIBLE_DEVICES", "SSL_CERT_FILE", "SSL_CERT_DIR",
)  # fmt: skip


def base_environment() -> dict[str, str]:
    return {name: os.environ[name] for name in PASSED if name in os.environ}


def ask(home: Path, request: Mapping[str, Any]) -> dict[str, Any]:
    """Ask the endpoint's keeper, waking one first where none answers. Every request may be repeated. Raises UnavailableError, RolloutError."""
    for _ in range(3):
        try:
            return control.ask(home, request)
        except TimeoutError as error:
            raise UnavailableError(
                f"the keeper of {home} does not answer", hint=f"see {home / 'keeper.log'}"
            ) from error
        except OSError:
            wake(home)
    raise UnavailableError(f"the keeper of {home} ends as soon as it is started", hint=f"see {home / 'keeper.log'}")


def wake(home: Path) -> None:
    """Start a keeper unless one listens; two callers at once start one."""
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    with starting(home):
        if _listens(home):
            return
        command = [sys.executable, "-P", "-m", "shipway.endpoints.keeper", str(home)]
        env = {**base_environment(), "PYTHONPATH": str(Path(shipway.__file__).parent.parent)}
        try:
            done = subprocess.run(
                command, env=env, stdin=subprocess.DEVNULL, capture_output=True, timeout=START_SECONDS, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise UnavailableError(f"the keeper of {home} did not start within {START_SECONDS:g} s") from error
        if done.returncode:
            said = done.stderr.decode(errors="replace").strip()
            raise RolloutError(f"the keeper of {home} did not start: {said or 'it said nothing'}")


def _listens(home: Path) -> bool:
    try:
        control.ask(home, {"do": "status"})
    except TimeoutError as error:
        raise UnavailableError(f"the keeper of {home} does not answer", hint=f"see {home / 'keeper.log'}") from error
    except OSError:
        return False
    return True


@contextlib.contextmanager
def starting(home: Path) -> Iterator[None]:
    """Nobody else starts or removes this endpoint's keeper meanwhile. The lock lies beside the directory, which may be removed."""
    fd = os.open(home.with_name(f".{home.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def lives(home: Path) -> bool:
    """Whether a keeper holds its lock."""
    try:
        fd = os.open(home / control.LOCK, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False
