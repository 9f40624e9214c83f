"""
The process that keeps one endpoint alive: `python -m shipway.endpoints.keeper DIR`.

It holds the public socket, starts revisions with it, and heals the one that serves. It uses the standard library only, has one thread,
outlives whoever started it, and does what the lines at its control socket say (`shipway.endpoints.control`). All it must know again after
its own death is on disk (`shipway.endpoints.kept`), except the secrets' values.
"""

import contextlib
import os
import selectors
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from shipway.endpoints import control, daemon, public, strays
from shipway.endpoints.closed import ClosedSign
from shipway.endpoints.kept import Kept, Launch, Record, choices
from shipway.endpoints.revisions import Revision, in_words
from shipway.endpoints.served import Phase

BUSY_PAUSE_SECONDS = 0.02
IDLE_PAUSE_SECONDS = 30.0
LINGER_SECONDS = 0.5


class Refusal(Exception):
    """What was asked cannot be; `kind` is a word that `shipway.endpoints.process` turns into an error's class."""

    def __init__(self, kind: str, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.answer = {"error": kind, "message": message, "hint": hint}


class Keeper:
    """Everything happens in `run`; each request is answered at once, and what takes time is seen in the next `status`."""

    def __init__(self, home: Path) -> None:
        self.kept = Kept(home)
        self.selector = selectors.DefaultSelector()
        self.sockets: dict[tuple[str, int], socket.socket] = {}
        self.revisions: dict[str, Revision] = {}
        self.next: Revision | None = None
        self.keep = 5
        self.ending = False
        self.sign = ClosedSign(self.selector)
        self._saved: tuple[str | None, dict[str, str]] | None = None
        self._talking = 0
        # Whoever started us is about to speak; without a revision we do not stay for long.
        self._useful_until = time.monotonic() + IDLE_PAUSE_SECONDS

    # Life

    def run(self) -> None:
        self._restore()
        while not self._done():
            for key, _ in self.selector.select(self._pause()):
                key.data()
            self._advance(time.monotonic())

    def listen(self) -> None:
        self.control = control.listen()
        self.selector.register(self.control, selectors.EVENT_READ, self._accept)
        waker, wakee = socket.socketpair()
        waker.setblocking(False)
        wakee.setblocking(False)
        self._waker = waker
        signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, lambda *_: setattr(self, "ending", True))
        self.selector.register(wakee, selectors.EVENT_READ, lambda: wakee.recv(4096))

    def _restore(self) -> None:
        """Take up what the last keeper left: kept revisions, and the one that serves is started."""
        serving, reasons = self.kept.state()
        for name, record in self.kept.records().items():
            revision = self._add(name, record)
            revision.reason = reasons.get(name)
        if (holder := self.revisions.get(serving or "")) is not None:
            holder.hold(time.monotonic())

    def _done(self) -> bool:
        if any(revision.running for revision in self.revisions.values()):
            return False
        needless = not self.revisions and not self._talking and time.monotonic() > self._useful_until
        return self.ending or needless

    def _pause(self) -> float:
        if self.ending or self.next is not None or not all(revision.resting for revision in self.revisions.values()):
            return BUSY_PAUSE_SECONDS
        return LINGER_SECONDS if self.sign.busy or not self.revisions else IDLE_PAUSE_SECONDS

    # Each round

    def _advance(self, now: float) -> None:
        for revision in self.revisions.values():
            if self.ending:
                revision.leave(now)
            revision.advance(now)
        self._hand_over(now)
        self._forget()
        self._close_unused()
        self._answer_for_nobody()
        self.sign.advance(now)
        self._save()

    def _hand_over(self, now: float) -> None:
        """Once the next revision is seen at the public address it holds it, and the one before leaves."""
        if self.next is None or self.next.phase is Phase.OPENING:
            return
        arrived, self.next = self.next, None
        if arrived.phase is not Phase.SERVING:
            return
        for revision in self.revisions.values():
            if revision.holds and revision is not arrived:
                revision.leave(now)
        arrived.holds = True
        self._prune()
        self._save()

    def _prune(self) -> None:
        ended = [rev for rev in self.revisions.values() if rev.process is None and not rev.holds]
        newest_first = sorted(ended, key=lambda rev: rev.record.created, reverse=True)
        for revision in newest_first[self.keep - 1 :]:
            revision.forgotten = True

    def _forget(self) -> None:
        for revision in [rev for rev in self.revisions.values() if rev.forgotten and not rev.running]:
            del self.revisions[revision.name]
            self.kept.forget(revision.name)

    def _close_unused(self) -> None:
        used = {rev.address for rev in self.revisions.values() if rev.running or rev.holds}
        for address in self.sockets.keys() - used:
            sock = self.sockets.pop(address)
            self.sign.take_down(sock)
            sock.close()

    def _answer_for_nobody(self) -> None:
        """While no living revision is to answer, the keeper does, so that callers hear 503 at once rather than hang in the queue."""
        holder = next((rev for rev in self.revisions.values() if rev.holds), None)
        someone = self.next is not None or (holder is not None and holder.phase is not Phase.GONE)
        why = "no revision serves yet" if holder is None else f"{holder.name} has failed"
        self.sign.hang(set() if someone else set(self.sockets.values()), why)

    def _save(self) -> None:
        """A keeper that was told to end leaves its state, so that the next one takes it up."""
        serving = next((rev.name for rev in self.revisions.values() if rev.holds), None)
        state = serving, {rev.name: rev.reason for rev in self.revisions.values() if rev.reason is not None}
        if state == self._saved or self.ending:
            return
        try:
            self.kept.save_state(*state)
            self._saved = state
        except OSError as error:
            # A full disk must not take the served model down; it is tried again in the next round.
            print(f"state.json was not written: {error}", file=sys.stderr, flush=True)

    # Requests

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            connection, _ = self.control.accept()
            connection.setblocking(False)
            conversation = control.Conversation(connection)
            self._talking += 1
            self.selector.register(connection, selectors.EVENT_READ, lambda: self._hear(conversation))

    def _hear(self, conversation: control.Conversation) -> None:
        try:
            request = conversation.hear()
            if request is None:
                return
            conversation.say(self._answer(request))
            self._useful_until = time.monotonic() + LINGER_SECONDS
        except (OSError, ValueError) as error:
            print(f"a request came to nothing: {error}", file=sys.stderr, flush=True)
        self.selector.unregister(conversation.connection)
        conversation.connection.close()
        self._talking -= 1

    def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        verbs: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "status": self._status, "apply": self._apply, "shift": self._shift, "remove": self._remove, "end": self._end_all,
        }  # fmt: skip
        try:
            return verbs[request["do"]](request)
        except Refusal as refusal:
            return refusal.answer
        except OSError as error:
            return Refusal("rollout", f"the keeper could not {request['do']}: {in_words(error)}").answer
        except Exception as error:  # the edge of this process: one odd request must not end what serves
            traceback.print_exc()
            return Refusal("usage", f"the keeper does not understand the request: {error!r}").answer

    def _status(self, request: dict[str, Any]) -> dict[str, Any]:
        self._advance(time.monotonic())
        revisions = sorted(self.revisions.values(), key=lambda rev: rev.record.created, reverse=True)
        return {
            "pid": os.getpid(),
            "listening": [list(address) for address in self.sockets],
            "revisions": [rev.report() for rev in revisions],
        }

    def _apply(self, request: dict[str, Any]) -> dict[str, Any]:
        if self.ending:
            raise Refusal("conflict", "the endpoint is being removed")
        name, launch = request["revision"], Launch(**request["launch"])
        revision = self.revisions.get(name)
        created = time.time() if revision is None else revision.record.created
        record = Record(request["release"], launch, created)
        if revision is None:
            revision = self._add(name, record)
        elif revision.process is None:
            revision.record = record
        revision.secrets.update(request["secrets"])
        revision.forgotten = False
        self.kept.save(name, revision.record)
        self._apply_now(revision)
        return {}

    def _apply_now(self, revision: Revision) -> None:
        try:
            revision.restart()
        except KeyError as error:
            hint = f"set {error.args[0]} in the environment and ship it again"
            raise Refusal(
                "rollout", f"{revision.name} needs the secret {error.args[0]}, whose value is not known here", hint
            ) from None
        except OSError as error:
            revision.reason = why = in_words(error)
            busy = public.PORT_HINT if why.startswith("port ") else None
            raise Refusal("rollout", f"{revision.name} cannot start: {why}", busy) from None

    def _add(self, name: str, record: Record) -> Revision:
        self.revisions[name] = revision = Revision(name, record, self.kept.log(name), self._public)
        return revision

    def _public(self, host: str, port: int) -> socket.socket:
        if (host, port) not in self.sockets:
            self.sockets[host, port] = public.listen(host, port)
        return self.sockets[host, port]

    def _shift(self, request: dict[str, Any]) -> dict[str, Any]:
        revision = self._named(request)
        if revision.holds or revision is self.next:
            return {}
        if self.next is not None:
            raise Refusal("conflict", f"a shift to {self.next.name} is under way")
        if revision.process is None or revision.phase is not Phase.READY:
            raise Refusal("rollout", f"{revision.name} is {revision.state}, not ready to take the traffic")
        self.keep = int(request.get("keep", self.keep))
        self.next = revision
        revision.process.open(time.monotonic())
        return {}

    def _remove(self, request: dict[str, Any]) -> dict[str, Any]:
        try:
            revision = self._named(request)
        except Refusal:
            return {}
        if revision.holds or revision is self.next:
            raise Refusal(
                "conflict",
                f"{revision.name} serves",
                "shift the traffic to another revision first, or remove the endpoint",
            )
        revision.forgotten = True
        revision.leave(time.monotonic())
        return {}

    def _end_all(self, request: dict[str, Any]) -> dict[str, Any]:
        for revision in self.revisions.values():
            revision.forgotten = True
        self.ending = True
        return {}

    def _named(self, request: dict[str, Any]) -> Revision:
        revision = self.revisions.get(request["revision"])
        if revision is None:
            raise Refusal("not found", f"there is no revision {request['revision']}", choices(self.revisions))
        return revision


def main(directory: str) -> None:
    """Return in a daemon only, at its end; the caller's process ends once the daemon can be spoken to."""
    home = Path(directory).resolve()
    os.umask(0o077)
    os.chdir(home)
    os.environ.pop(strays.MARK, None)
    daemon.take_lock(control.LOCK)
    strays.end(home)
    keeper = Keeper(home)
    with daemon.born("keeper.log"):
        keeper.listen()
    try:
        keeper.run()
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(control.SOCKET)


if __name__ == "__main__":
    main(sys.argv[1])
