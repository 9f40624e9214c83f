"""An endpoint inside this process: real HTTP servers on threads, with the stand-in as their model; `FakePlace` is its far side."""

import threading
import time
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import msgspec

from shipway.endpoints.base import Capability, Endpoint
from shipway.errors import ConflictError, NotFoundError, RolloutError, UnsupportedError
from shipway.specs.releases import Release, Revision, RevisionState, Rollout
from shipway.testing.stand_in import Handler, StandIn


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False


class _Running:
    """One revision. A model that hangs is one whose time is over when `startup` has passed."""

    def __init__(self, release: Release) -> None:
        self.release = release
        self.created = time.time()
        self.state = RevisionState.STARTING
        self.reason: str | None = None
        self.log: list[bytes] = []
        self.server: _Server | None = None
        self.start()

    def start(self) -> None:
        self.state, self.reason, self._started = RevisionState.STARTING, None, time.monotonic()
        self.log.append(f"serving {Path(self.release.bundle).name}\n".encode())
        self.stand_in = StandIn(Path(self.release.bundle))
        fault = self.stand_in.fault(Path(self.release.bundle))
        if fault is not None:
            self.fail(fault)
        elif self.stand_in.model.get("mode") != "hang":
            self.server = _serve(self)
            self.state = RevisionState.READY

    def fail(self, reason: str) -> None:
        self.log.append(f"{reason}\n".encode())
        self.state, self.reason = RevisionState.FAILED, reason

    def look(self) -> RevisionState:
        if (
            self.state is RevisionState.STARTING
            and time.monotonic() > self._started + self.release.startup.total_seconds()
        ):
            self.fail(f"not ready within {self.release.startup.total_seconds():g} s")
        return self.state

    def end(self) -> None:
        if self.server is not None:
            _stop(self.server)
            self.server = None
        self.state = RevisionState.ENDED


class FakePlace:
    """What a far side would hold; close it when done."""

    def __init__(self) -> None:
        self.revisions: dict[str, _Running] = {}
        self.serving: _Running | None = None
        self.public: _Server | None = None

    def close(self) -> None:
        for revision in self.revisions.values():
            revision.end()
        if self.public is not None:
            _stop(self.public)
        self.revisions, self.serving, self.public = {}, None, None


class FakeEndpoint(Endpoint):
    """Any number of instances may share a place."""

    kind = "fake"
    capabilities: ClassVar[frozenset[Capability]] = frozenset()

    def __init__(self, name: str, place: FakePlace) -> None:
        self.name = name
        self.place = place

    def render(self, release: Release) -> str:
        return msgspec.json.encode(_nameless(release)).decode()

    def apply(self, release: Release) -> None:
        running = self.place.revisions.get(release.revision)
        if running is None:
            self.place.revisions[release.revision] = _Running(release)
        elif running.look() in (RevisionState.ENDED, RevisionState.FAILED):
            running.start()

    def rollout(self) -> Rollout:
        newest_first = sorted(self.place.revisions.values(), key=lambda running: running.created, reverse=True)
        url = None if self.place.public is None or self.place.serving is None else _url(self.place.public)
        return Rollout(
            endpoint=self.name, url=url, revisions=tuple(self._revision(running) for running in newest_first)
        )

    def shift(self, revision: str, percent: int) -> None:
        if percent not in (0, 100):
            raise UnsupportedError(f"a fake endpoint cannot send {percent} % of the traffic", hint="use 0 or 100")
        running = self._named(revision)
        if percent == 0:
            if running is self.place.serving:
                raise ConflictError(f"{revision} serves alone")
            return
        if running.look() not in (RevisionState.READY, RevisionState.SERVING):
            raise RolloutError(f"{revision} is {running.state}, not ready to take the traffic")
        before, self.place.serving = self.place.serving, running
        running.state = RevisionState.SERVING
        if self.place.public is None:
            self.place.public = _serve(self.place)
        if before is not None and before is not running:
            before.end()

    def release(self, revision: str) -> Release:
        return _nameless(self._named(revision).release)

    def logs(self, revision: str | None = None, *, follow: bool = False) -> Iterator[bytes]:
        if revision is None and self.place.serving is None:
            raise NotFoundError(f"endpoint {self.name} serves no revision")
        running = self.place.serving if revision is None else self._named(revision)
        return iter(list(running.log) if running is not None else [])

    def remove(self, revision: str | None = None) -> None:
        if revision is None:
            self.place.close()
        elif (running := self.place.revisions.get(revision)) is not None:
            if running is self.place.serving:
                raise ConflictError(f"{revision} serves")
            running.end()
            del self.place.revisions[revision]

    def _named(self, revision: str) -> _Running:
        if revision not in self.place.revisions:
            raise NotFoundError(f"endpoint {self.name} has no revision {revision}")
        return self.place.revisions[revision]

    def _revision(self, running: _Running) -> Revision:
        return Revision(
            name=running.release.revision,
            model=running.release.model.name,
            version=running.release.model.version or "",
            state=running.look(),
            percent=100 if running is self.place.serving else 0,
            url=None if running.server is None else _url(running.server),
            reason=running.reason,
            created=running.created,
        )


def _nameless(release: Release) -> Release:
    return msgspec.structs.replace(release, secrets=dict.fromkeys(release.secrets, ""))


def _serve(what: "_Running | FakePlace") -> _Server:
    """A server for one revision, or for whichever serves."""

    class Ours(Handler):
        def _do(self) -> None:
            running = what if isinstance(what, _Running) else what.serving
            assert running is not None
            self.stand_in = running.stand_in  # type: ignore[misc]  # per request, where the stand-in has one for all
            self.headers_of_ours = {"x-shipway-revision": running.release.revision}  # type: ignore[misc]
            super()._do()

    server = _Server(("127.0.0.1", 0), Ours)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    return server


def _stop(server: _Server) -> None:
    server.shutdown()
    server.server_close()


def _url(server: _Server) -> str:
    return f"http://127.0.0.1:{server.server_address[1]}"
