"""
One process that serves one revision, from its start to its end; the keeper calls `advance` and reads `phase`.

It may do what `python -m shipway.serving` does: listen at two inherited sockets, answer GET /v2/health/ready with 200 once the model is
loaded, begin to accept at the public one on SIGUSR1 and say so with `x-shipway-public: 1`, drain and end on SIGTERM.
"""

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path

from shipway.endpoints.kept import Launch
from shipway.endpoints.probe import Answer, Probe

READY_PATH = "/v2/health/ready"
OPENING_SECONDS = 15.0
KILL_AFTER_DRAIN_SECONDS = 5.0
PROBE_EVERY_SECONDS = 0.05
LOG_TAIL_BYTES = 2000


class Phase(StrEnum):
    STARTING = "starting"
    READY = "ready"
    OPENING = "opening"
    """Told to take the public address, not yet seen to have it."""
    SERVING = "serving"
    LEAVING = "leaving"
    GONE = "gone"


class Served:
    """`reason` says why it failed, where it did; a process that was told to leave has none."""

    def __init__(self, launch: Launch, public: socket.socket, secrets: Mapping[str, str], log: Path) -> None:
        self.launch = launch
        self.log = log
        self.phase = Phase.STARTING
        self.reason: str | None = None
        self.ready_at: float | None = None
        self._probe: Probe | None = None
        self._deadline: float | None = None
        self._next_probe = 0.0
        self._log_start = _rotate(log)
        with socket.socket() as private:
            private.bind(("127.0.0.1", 0))
            private.listen(128)
            self.address: tuple[str, int] = private.getsockname()
            self._process = _start(launch, private, public, secrets, log)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def url(self) -> str:
        return f"http://{self.address[0]}:{self.address[1]}"

    def open(self, now: float) -> None:
        """Let it take the public address; only a READY one knows the signal, any other would die of it."""
        if self.phase is Phase.READY:
            self._signal(signal.SIGUSR1)
            self.phase, self._deadline, self._next_probe = Phase.OPENING, now + OPENING_SECONDS, now

    def leave(self, now: float) -> None:
        """Let it drain and end."""
        if self.phase in (Phase.LEAVING, Phase.GONE):
            return
        # One that hasn't come up has nothing to drain, and may not know the signal yet.
        drain = 0.0 if self.phase is Phase.STARTING else self.launch.drain + KILL_AFTER_DRAIN_SECONDS
        self._signal(signal.SIGTERM)
        self.phase, self._deadline = Phase.LEAVING, now + drain

    def advance(self, now: float) -> None:
        if self.phase is Phase.GONE:
            return
        if self._ended():
            self._finish()
            return
        if self._deadline is None and self.phase is Phase.STARTING:
            self._deadline = now + self.launch.startup
        if self.phase in (Phase.STARTING, Phase.OPENING):
            self._ask(now)
        if self._deadline is not None and now >= self._deadline:
            self._overdue()

    # Asking

    def _ask(self, now: float) -> None:
        try:
            if self._probe is None:
                if now < self._next_probe:
                    return
                self._probe = Probe(self.address, READY_PATH)
            answer = self._probe.advance()
        except OSError:
            answer = Answer(0, {})
        if answer is None:
            return
        self._close_probe()
        self._next_probe = now + PROBE_EVERY_SECONDS
        if answer.status != 200:
            return
        if self.phase is Phase.STARTING:
            self.phase, self.ready_at, self._deadline = Phase.READY, now, None
        elif answer.headers.get("x-shipway-public") == "1":
            self.phase, self._deadline = Phase.SERVING, None

    def _overdue(self) -> None:
        if self.phase is Phase.STARTING:
            self.reason = f"not ready within {self.launch.startup:g} s"
        elif self.phase is Phase.OPENING:
            self.reason = f"did not take the public address within {OPENING_SECONDS:g} s"
        self.phase, self._deadline = Phase.LEAVING, None
        self._signal(signal.SIGKILL)

    # Ending

    def _ended(self) -> bool:
        """Whether the process is dead, without taking its exit code: until then its group's number cannot become another's."""
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def _finish(self) -> None:
        self._signal(signal.SIGKILL)
        code = self._process.wait()
        if self.phase is not Phase.LEAVING:
            self.reason = f"ended by itself with {describe(code)}"
        if self.reason is not None:
            self.reason += self._tail()
        self._close_probe()
        self.phase = Phase.GONE

    def _signal(self, number: signal.Signals) -> None:
        """To the whole group where it is the end; else to the server alone, whose children may not know the signal."""
        with contextlib.suppress(ProcessLookupError):
            if number is signal.SIGKILL:
                os.killpg(self.pid, number)
            else:
                os.kill(self.pid, number)

    def _close_probe(self) -> None:
        if self._probe is not None:
            self._probe.close()
            self._probe = None

    def _tail(self) -> str:
        """The end of what this process wrote, to stand below the reason."""
        with contextlib.suppress(OSError), self.log.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(self._log_start, size - LOG_TAIL_BYTES))
            text = file.read().decode(errors="replace").strip()
            return f"\n{text}" if text else " and said nothing"
        return ""


def describe(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"


LOG_LIMIT_BYTES = 16 * 1024 * 1024


def _rotate(log: Path) -> int:
    """Make room for the log; return where this process's part begins."""
    log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        size = log.stat().st_size
    except FileNotFoundError:
        return 0
    if size < LOG_LIMIT_BYTES:
        return size
    log.replace(log.with_name("log.1"))
    return 0


def _start(
    launch: Launch, private: socket.socket, public: socket.socket, secrets: Mapping[str, str], log: Path
) -> "subprocess.Popen[bytes]":
    fds = (private.fileno(), public.fileno())
    with log.open("ab") as output:
        return subprocess.Popen(
            [*launch.argv, "--fd", str(fds[0]), "--public-fd", str(fds[1])],
            cwd=log.parent,
            env={**launch.env, **secrets},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            pass_fds=fds,
            process_group=0,
            preexec_fn=_die_with_keeper(),
        )


PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


def _die_with_keeper() -> Callable[[], None]:
    """Runs in the child before its program; the keeper has one thread, so nothing can be half done at the fork."""
    keeper = os.getpid()

    def ask_kernel() -> None:
        if _libc is not None:
            _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != keeper:
                os._exit(1)

    return ask_kernel
