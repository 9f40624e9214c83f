"""
A served model on this machine, at a stable port (ADR 0006).

All the work is the keeper's; this class tells it what to do, waits, and turns its answers into the port's records and errors.
"""

import json
import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import msgspec

from shipway.endpoints import control, public, strays, waking
from shipway.endpoints.base import Capability, Endpoint
from shipway.endpoints.kept import Kept, Launch, choices
from shipway.endpoints.logs import lines
from shipway.endpoints.looks import accepts, answers_by
from shipway.errors import (
    ConflictError,
    NotFoundError,
    RolloutError,
    ShipwayError,
    UnavailableError,
    UnsupportedError,
    UsageError,
)
from shipway.specs.releases import Release, Revision, RevisionState, Rollout
from shipway.specs.stages import EndpointSpec

POLL_SECONDS = 0.02

# Longer than the keeper's own deadlines, which it reports by itself: these only end the wait for a keeper that lost its way.
TAKEOVER_SECONDS = 30.0
ENDING_SECONDS = 20.0
KEPT_REVISIONS = 5

ERRORS: Mapping[str, type[ShipwayError]] = {
    "rollout": RolloutError,
    "not found": NotFoundError,
    "conflict": ConflictError,
    "usage": UsageError,
}


class ProcessEndpoint(Endpoint):
    """`home` is the directory of all process endpoints; this one's state lies in `home/<name>`."""

    kind = "process"
    capabilities: ClassVar[frozenset[Capability]] = frozenset()

    def __init__(self, spec: EndpointSpec, home: Path) -> None:
        self.spec = spec
        self.home = home.absolute() / spec.name
        self._kept = Kept(self.home)

    def render(self, release: Release) -> str:
        launch = self._launch(release)._asdict()
        env = {name: value for name, value in launch["env"].items() if name in release.env or name.startswith("PYTHON")}
        return json.dumps({**launch, "env": env}, indent=2) + "\n"

    def check(self) -> None:
        if self._holds_its_port():
            return
        try:
            public.listen(self.spec.host, self.spec.port).close()
        except OSError as error:
            raise RolloutError(f"endpoint {self.spec.name}: {error.strerror}", hint=public.PORT_HINT) from error

    def apply(self, release: Release) -> None:
        if not Path(release.bundle).is_dir():
            raise RolloutError(
                f"the bundle of {release.revision} is not there: {release.bundle}",
                hint="ship it again, which packs it anew",
            )
        nameless = msgspec.structs.replace(release, secrets=dict.fromkeys(release.secrets, ""))
        self._ask(
            {
                "do": "apply",
                "revision": release.revision,
                "release": msgspec.to_builtins(nameless),
                "launch": self._launch(release)._asdict(),
                "secrets": {name: value for name, value in release.secrets.items() if value},
            }
        )

    def rollout(self) -> Rollout:
        reports = self._reports()
        holder = next((report for report in reports if report["percent"] == 100), None)
        url = None if holder is None else holder["public"]
        return Rollout(endpoint=self.spec.name, url=url, revisions=tuple(_revision(report) for report in reports))

    def shift(self, revision: str, percent: int) -> None:
        if percent not in (0, 100):
            raise UnsupportedError(
                f"endpoint {self.spec.name}: a process endpoint cannot send {percent} % of the traffic",
                hint="use 0 or 100",
            )
        if percent == 0:
            if self._report(revision)["percent"] == 100:
                raise ConflictError(f"{revision} serves alone", hint="shift another revision to 100 instead")
            return
        if not self._kept.records():
            raise self._unknown(revision)
        self._ask({"do": "shift", "revision": revision, "keep": self.spec.options.get("keep", KEPT_REVISIONS)})
        self._wait_until_serving(revision)

    def release(self, revision: str) -> Release:
        record = self._kept.records().get(revision)
        if record is None:
            raise self._unknown(revision)
        return msgspec.convert(record.release, Release)

    def logs(self, revision: str | None = None, *, follow: bool = False) -> Iterator[bytes]:
        if revision is None:
            revision = next((report["name"] for report in self._reports() if report["percent"] == 100), None)
            if revision is None:
                raise NotFoundError(
                    f"endpoint {self.spec.name} serves no revision",
                    hint="name the revision; `shipway endpoints` lists them",
                )
        if revision not in self._kept.records():
            raise self._unknown(revision)
        return lines(self._kept.log(revision), (lambda: not self._runs(revision)) if follow else None)

    def remove(self, revision: str | None = None) -> None:
        if revision is None:
            self._remove_all()
        elif revision in self._kept.records():
            self._ask({"do": "remove", "revision": revision})
            deadline = time.monotonic() + self._leaving_seconds()
            while any(report["name"] == revision for report in self._reports()):
                self._pause(deadline, f"{revision} does not end")

    # Talking to the keeper

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        answer = waking.ask(self.home, request)
        if (kind := answer.get("error")) is not None:
            raise ERRORS[kind](f"endpoint {self.spec.name}: {answer['message']}", hint=answer.get("hint"))
        return answer

    def _reports(self) -> list[dict[str, Any]]:
        """Newest first. An endpoint without revisions needs no keeper to say so."""
        if not self._kept.records():
            return []
        reports: list[dict[str, Any]] = self._ask({"do": "status"})["revisions"]
        return reports

    def _report(self, revision: str) -> dict[str, Any]:
        for report in self._reports():
            if report["name"] == revision:
                return report
        raise self._unknown(revision)

    def _holds_its_port(self) -> bool:
        """Whether our own keeper listens there already."""
        if not self._kept.records():
            return False
        return [self.spec.host, self.spec.port] in self._ask({"do": "status"}).get("listening", [])

    def _launch(self, release: Release) -> Launch:
        drain = release.drain.total_seconds()
        argv = [
            release.python,
            "-P",
            "-m",
            "shipway.serving",
            release.bundle,
            "--revision",
            release.revision,
            "--drain",
            f"{drain:g}",
        ]
        fixed = {
            "PYTHONPATH": str(Path(release.bundle) / "lib"),
            "PYTHONUNBUFFERED": "1",
            strays.MARK: str(self.home.resolve()),
        }
        return Launch(
            argv=argv,
            env={**waking.base_environment(), **release.env, **fixed},
            secrets=sorted(release.secrets),
            host=self.spec.host,
            port=self.spec.port,
            startup=release.startup.total_seconds(),
            drain=drain,
        )

    def _unknown(self, revision: str) -> NotFoundError:
        message = f"endpoint {self.spec.name} has no revision {revision}"
        return NotFoundError(message, hint=choices(reversed(self._kept.records())))

    # Waiting

    def _wait_until_serving(self, revision: str) -> None:
        """Until the public address answers by it and by no other."""
        deadline = time.monotonic() + TAKEOVER_SECONDS + self.spec.startup.total_seconds()
        while True:
            report = self._report(revision)
            if report["state"] == "failed" or (report["percent"] == 0 and report["state"] in ("ended", "draining")):
                raise RolloutError(f"{revision} could not take over: {report['reason'] or report['state']}")
            if report["percent"] == 100 and report["state"] == "serving" and self._has_taken_over(report):
                return
            self._pause(deadline, f"{revision} does not answer at {report['public']}")

    def _has_taken_over(self, report: Mapping[str, Any]) -> bool:
        """One that drains shut its own address together with the public one, so that is how it is seen to be gone from there."""
        drains = [other["url"] for other in self._reports() if other["state"] == "draining" and other["url"]]
        return not any(accepts(url) for url in drains) and answers_by(report["public"]) == report["name"]

    def _pause(self, deadline: float, why: str) -> None:
        if time.monotonic() > deadline:
            raise RolloutError(f"endpoint {self.spec.name}: {why}", hint=f"see {self.home / 'keeper.log'}")
        time.sleep(POLL_SECONDS)

    def _leaving_seconds(self) -> float:
        drains = [record.launch.drain for record in self._kept.records().values()]
        return max(drains, default=0.0) + ENDING_SECONDS

    # The rest

    def _runs(self, revision: str) -> bool:
        return any(report["name"] == revision and report["pid"] is not None for report in self._reports())

    def _remove_all(self) -> None:
        if not self.home.is_dir():
            return
        with waking.starting(self.home):
            deadline = time.monotonic() + self._leaving_seconds()
            while waking.lives(self.home):
                try:
                    control.ask(self.home, {"do": "end"})
                except TimeoutError as error:
                    raise UnavailableError(
                        f"the keeper of {self.home} does not answer", hint=f"see {self.home / 'keeper.log'}"
                    ) from error
                except OSError:
                    pass  # it is about to end
                self._pause(deadline, "its keeper does not end")
            strays.end(self.home.resolve())
            shutil.rmtree(self.home, ignore_errors=True)


def _revision(report: Mapping[str, Any]) -> Revision:
    model = report["release"].get("model", {})
    return Revision(
        name=report["name"],
        model=model.get("name", ""),
        version=str(model.get("version") or ""),
        state=RevisionState(report["state"]),
        percent=report["percent"],
        url=report["url"],
        reason=report["reason"],
        created=report["created"],
        pid=report["pid"],
    )
