"""
A job's directory, which is all there is to know about a job of the process backend.

    request.json     what was asked for, without secrets
    stage/work       its work tree; `stage` appears whole, by one rename
    stage/inputs     what it was given, to compare afterwards
    log              both streams, in the order in which they were written
    claim            pid, start time, boot and host of the wrapper that runs it; or "cancelled": nobody will
    group            pid and start time of the command, which leads its process group and session
    code             the command's exit code
    verdict          how it ended: exit, unstarted, timeout, cancelled or lost
    asked            somebody has sent it TERM
    settled          nothing of it lives any more
    checked          its linked inputs have been looked at since

`claim` and `verdict` are made by O_EXCL, here as in wrapper.sh: the first writer decides.
"""

import os
import signal
import time
from pathlib import Path

import msgspec

from shipway.backends import processes
from shipway.backends.environment import MARK
from shipway.backends.processes import Identity
from shipway.specs.jobs import Failure, JobState, JobStatus

_PATIENCE_SECONDS = 60.0
"""How long a job may be staged and not started, with nobody at work on it, before we say so."""
_EMPTY_CLAIM_SECONDS = 5.0
"""A claim is made and then written, microseconds later; one that stays empty belongs to a wrapper that died in between, or to a machine that did."""

_FAILURES = {
    "exit": Failure.EXIT,
    "unstarted": Failure.NOT_STARTED,
    "timeout": Failure.TIMEOUT,
    "lost": Failure.LOST,
}
_REASONS = {
    "unstarted": "there is no such program, or it cannot be run",
    "timeout": "it ran out of time",
    "lost": "its process went away without leaving an exit code",
}


class Claim(msgspec.Struct, frozen=True):
    """Who runs the job."""

    wrapper: Identity
    boot: str
    host: str

    @property
    def rebooted(self) -> bool:
        """Whether this is another kernel than the one that ran it, whose pids say nothing here."""
        return self.boot != processes.boot_id()

    @property
    def elsewhere(self) -> bool:
        return self.rebooted and self.host != processes.host_name()

    @property
    def alive(self) -> bool:
        return not self.rebooted and self.wrapper.alive()


class JobDirectory:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.request = path / "request.json"
        self.stage = path / "stage"
        self.work = path / "stage" / "work"
        self.inputs = path / "stage" / "inputs"
        self.log = path / "log"

    @property
    def mark(self) -> bytes:
        return f"{MARK}={self.path}".encode()

    @property
    def claimed(self) -> bool:
        return (self.path / "claim").exists()

    @property
    def decided(self) -> bool:
        """Whether its end is written down; one that was never started has none, and may still begin."""
        return (self.path / "verdict").exists()

    @property
    def settled(self) -> bool:
        return (self.path / "settled").exists()

    @property
    def checked(self) -> bool:
        return (self.path / "checked").exists()

    def note(self, name: str) -> None:
        """Write down that it is `settled`, or `checked`."""
        (self.path / name).touch()

    def decide(self, name: str, text: str) -> bool:
        """Write `claim` or `verdict`; False if somebody was faster."""
        try:
            with open(self.path / name, "x") as file:
                file.write(f"{text}\n")
        except FileExistsError:
            return False
        return True

    def verdict(self) -> list[str]:
        """The verdict's words; empty while there is none."""
        return self._words("verdict")

    def claim(self) -> Claim | None:
        words = self._words("claim")
        return Claim(Identity(int(words[0]), int(words[1])), words[2], words[3]) if len(words) == 4 else None

    def leader(self) -> Identity | None:
        words = self._words("group")
        return Identity(int(words[0]), int(words[1])) if len(words) == 2 else None

    def status(self) -> JobStatus:
        """As the files and the living processes say now. A job whose wrapper vanished is ended here, and decided to be lost."""
        if not self.claimed:
            return self._unclaimed()
        if self._words("claim") == ["cancelled"]:
            return JobStatus(state=JobState.CANCELLED, ended=self._time("claim"))
        claim = self.claim()
        if claim is None and time.time() - (self._time("claim") or 0) < _EMPTY_CLAIM_SECONDS:
            return JobStatus(state=JobState.QUEUED)
        if claim is not None and claim.elsewhere:
            return self._elsewhere(claim.host)
        if claim is not None and claim.alive:
            return self._running()
        self.decide("verdict", "lost")  # unless there is one
        if not self.settled and not (claim and claim.rebooted) and self._end_survivors():
            return self._running()
        return self._ended()

    def _unclaimed(self) -> JobStatus:
        if self.verdict() == ["cancelled"]:
            return JobStatus(state=JobState.CANCELLED, ended=self._time("verdict"))
        quiet = time.time() - self.path.stat().st_mtime
        if quiet < _PATIENCE_SECONDS or any(stager.alive() for stager in self._stagers()):
            return JobStatus(state=JobState.QUEUED)
        # Not written down as a verdict: whoever submits it again starts it.
        return JobStatus(
            state=JobState.FAILED,
            failure=Failure.NOT_STARTED,
            reason="whoever submitted it ended before it was started; submit it again",
        )

    def _running(self) -> JobStatus:
        ending = {"cancelled": "it is being cancelled", "timeout": "it ran out of time and is being ended"}
        reason = ending.get(self._how()) if self.verdict() else None
        return JobStatus(state=JobState.RUNNING, started=self._time("group"), reason=reason)

    def _ended(self) -> JobStatus:
        how = self._how()
        code = self._words("code")
        exit_code = int(code[0]) if code and how != "lost" else None
        state = JobState.CANCELLED if how == "cancelled" else JobState.FAILED
        if how == "exit" and exit_code == 0:
            state = JobState.SUCCEEDED
        return JobStatus(
            state=state,
            exit_code=exit_code,
            failure=_FAILURES[how] if state is JobState.FAILED else None,
            reason=_signal_name(exit_code) if how == "exit" else _REASONS.get(how),
            started=self._time("group"),
            ended=self._time("code") or self._time("verdict"),
        )

    def _elsewhere(self, host: str) -> JobStatus:
        return JobStatus(state=JobState.UNKNOWN, reason=f"it was started on host {host!r}; only that one can tell")

    def _how(self) -> str:
        """A verdict without words was cut off by a full disk or a power failure."""
        return (self.verdict() or ["lost"])[0]

    def _end_survivors(self) -> bool:
        """End what outlived the wrapper. True: there was something, so it may take a moment to be gone."""
        leader = self.leader()
        swept = self._how() in ("exit", "unstarted")
        if swept and not (leader and processes.group_exists(leader.pid)):
            return False
        left = processes.survivors(leader, self.mark)
        processes.end(left)
        return bool(left)

    def _stagers(self) -> list[Identity]:
        return [stager for name in os.listdir(self.path) if (stager := owner_of(name, "staging"))]

    def _words(self, name: str) -> list[str]:
        try:
            text = (self.path / name).read_text()
        except FileNotFoundError:
            return []
        return text.split() if text.endswith("\n") else []

    def _time(self, name: str) -> float | None:
        try:
            return (self.path / name).stat().st_mtime
        except FileNotFoundError:
            return None


def private_name(what: str, owner: Identity, number: int) -> str:
    """A name that tells others whether the process that works there still lives."""
    return f"{what}.{owner.pid}.{owner.start}.{number}"


def owner_of(name: str, what: str) -> Identity | None:
    """None: not such a name."""
    parts = name.split(".")
    return Identity(int(parts[1]), int(parts[2])) if parts[0] == what and len(parts) == 4 else None


def _signal_name(code: int | None) -> str | None:
    """Shells report 128 and the signal's number; a command may also end with such a code of its own."""
    if code is None or not 128 < code < 128 + signal.NSIG:
        return None
    try:
        return f"ended by {signal.Signals(code - 128).name}, or with that signal's code"
    except ValueError:
        return None
