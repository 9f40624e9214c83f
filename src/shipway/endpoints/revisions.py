"""
One revision as its keeper sees it: its record, the process that serves it now, and those of it that still drain.

A revision that should hold the public address and died is started again, ever later; after `LIVES` quick deaths it is left FAILED.
"""

import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from shipway.endpoints.kept import Record
from shipway.endpoints.served import Phase, Served

LIVES = 5
QUICK_DEATH_SECONDS = 30.0
BACKOFF_SECONDS = (0.0, 0.2, 0.5, 1.0)

# The words of `shipway.specs.releases.RevisionState`, which the keeper does not import: it is to stay small.
STATES = {
    Phase.STARTING: "starting",
    Phase.READY: "ready",
    Phase.OPENING: "ready",
    Phase.SERVING: "serving",
    Phase.LEAVING: "draining",
    Phase.GONE: "ended",
}


class Revision:
    """`public` gives the listening socket of the revision's address; `holds` says that it is the one to answer there."""

    def __init__(self, name: str, record: Record, log: Path, public: Callable[[str, int], socket.socket]) -> None:
        self.name = name
        self.record = record
        self.secrets: dict[str, str] = {}
        self.reason: str | None = None
        self.holds = False
        self.forgotten = False
        self.process: Served | None = None
        self._log = log
        self._public = public
        self._leaving: list[Served] = []
        self._deaths = 0
        self._again_at: float | None = None

    # What it is told

    def start(self) -> None:
        """Start its process unless it has one. Raises OSError where the public address or the program is not to be had, KeyError for a secret."""
        if self.process is not None:
            return
        launch = self.record.launch
        secrets = {name: self.secrets[name] for name in launch.secrets}
        self.process = Served(launch, self._public(launch.host, launch.port), secrets, self._log)
        self.reason, self._again_at = None, None

    def restart(self) -> None:
        """As `start`, with all its lives."""
        self._deaths = 0
        self.start()

    def hold(self, now: float) -> None:
        """Be the one that answers at the public address, and be started for it."""
        self.holds, self._deaths = True, 0
        self._try_again(now)

    def leave(self, now: float) -> None:
        """Let its process drain and end, and start no other."""
        self.holds, self._again_at = False, None
        if self.process is not None:
            self.process.leave(now)
            self._leaving.append(self.process)
            self.process = None

    def advance(self, now: float) -> None:
        for process in self._leaving:
            process.advance(now)
        self._leaving = [process for process in self._leaving if process.phase is not Phase.GONE]
        if self._again_at is not None and now >= self._again_at:
            self._try_again(now)
        if self.process is None:
            return
        self.process.advance(now)
        if self.process.phase is Phase.GONE:
            self._died(now)
        elif self.process.phase is Phase.READY and self.holds:
            self.process.open(now)

    def _died(self, now: float) -> None:
        process, self.process = self.process, None
        assert process is not None
        self.reason = process.reason
        if self.holds:
            lived = 0.0 if process.ready_at is None else now - process.ready_at
            self._count(1 if lived >= QUICK_DEATH_SECONDS else self._deaths + 1, now)

    def _count(self, deaths: int, now: float) -> None:
        self._deaths = deaths
        if deaths < LIVES:
            self._again_at = now + BACKOFF_SECONDS[deaths - 1]
        else:
            self.reason = f"died {deaths} times in a row, last: {self.reason}"

    def _try_again(self, now: float) -> None:
        self._again_at = None
        try:
            self.start()
        except KeyError as error:
            self.reason = f"needs the secret {error.args[0]}, whose value went with the last keeper; ship it again"
        except OSError as error:
            self.reason = in_words(error)
            self._count(self._deaths + 1, now)

    # What it is

    @property
    def phase(self) -> Phase:
        if self.process is not None:
            return self.process.phase
        if self._again_at is not None:
            return Phase.STARTING
        return Phase.LEAVING if self._leaving else Phase.GONE

    @property
    def state(self) -> str:
        return "failed" if self.phase is Phase.GONE and self.reason is not None else STATES[self.phase]

    @property
    def address(self) -> tuple[str, int]:
        return self.record.launch.host, self.record.launch.port

    @property
    def running(self) -> bool:
        return self.process is not None or bool(self._leaving)

    @property
    def resting(self) -> bool:
        """Nothing will change by itself, apart from a death."""
        return not self._leaving and self.phase in (Phase.READY, Phase.SERVING, Phase.GONE)

    def report(self) -> Mapping[str, Any]:
        process = self.process or (self._leaving[-1] if self._leaving else None)
        return {
            "name": self.name,
            "state": self.state,
            "percent": 100 if self.holds else 0,
            "url": process.url if process else None,
            "pid": process.pid if process else None,
            "reason": self.reason,
            "created": self.record.created,
            "release": self.record.release,
            "public": f"http://{_reachable(self.record.launch.host)}:{self.record.launch.port}",
        }


def in_words(error: OSError) -> str:
    """Without its number."""
    words = error.strerror or str(error)
    return words if error.filename is None else f"{error.filename}: {words}"


def _reachable(host: str) -> str:
    """A name under which a socket that listens everywhere can be called from this machine."""
    if host in ("", "0.0.0.0"):
        return "127.0.0.1"
    if host == "::":
        return "[::1]"
    return f"[{host}]" if ":" in host else host
