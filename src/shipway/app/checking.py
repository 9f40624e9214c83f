"""Everything that can be known to be wrong before anything runs."""

import os
import shutil
from collections.abc import Callable, Iterator
from functools import partial

import msgspec

from shipway.app.opened import Opened
from shipway.errors import ShipwayError
from shipway.pipeline.graph import Selection
from shipway.pipeline.stagework import refuse_what_lacks
from shipway.specs.stages import EndpointSpec, Stage

_LOW_SPACE = 1_000_000_000


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing looked at. `problem` None: it is in order."""

    what: str
    problem: str | None = None
    hint: str | None = None


def check(opened: Opened) -> list[Finding]:
    """Look at the file, git, secrets, sites, the store, the journal and the plan; never raises for what it looks for."""
    found = [_look(f"{opened.file.name}", lambda: opened.project)]
    if found[0].problem is None:
        found += _looks(opened)
    return found


def _looks(opened: Opened) -> Iterator[Finding]:
    project = opened.project
    stages, endpoints = project.stages, project.endpoints
    for name in dict.fromkeys(
        name for names in [*(s.secrets for s in stages), *(e.secrets for e in endpoints)] for name in names
    ):
        yield _look(f"secret {name}", partial(opened.secret, name))
    for stage in stages:
        yield _look(f"stage {stage.name} on site {stage.site}", partial(_site, opened, stage))
    yield _look("journal", lambda: opened.journal.list(limit=1))
    yield _look("plan", lambda: opened.planner.plan(Selection()))
    for spec in endpoints:
        yield _look(f"endpoint {spec.name}", partial(_rollout, opened, spec))
    yield _git(opened)
    yield _space(opened)


def _site(opened: Opened, stage: Stage) -> None:
    refuse_what_lacks(stage, opened.backend(stage.site))


def _rollout(opened: Opened, spec: EndpointSpec) -> None:
    endpoint = opened.endpoint(spec)
    endpoint.rollout()
    endpoint.check()


def _look(what: str, act: Callable[[], object]) -> Finding:
    try:
        act()
    except ShipwayError as error:
        return Finding(what=what, problem=error.message, hint=error.hint)
    return Finding(what=what)


def _git(opened: Opened) -> Finding:
    if shutil.which("git") is None:
        return Finding(what="git", problem="git is not installed", hint="a model version names the commit it came from")
    if not any((folder / ".git").exists() for folder in (opened.root, *opened.root.parents)):
        return Finding(
            what="git", problem=f"{opened.root} is not in a git repository", hint="run `git init` and commit"
        )
    return Finding(what="git")


def _space(opened: Opened) -> Finding:
    disk = os.statvfs(opened.home)
    free = disk.f_bavail * disk.f_frsize
    problem = f"only {free / 1e9:.1f} GB are free in {opened.home}" if free < _LOW_SPACE else None
    return Finding(what="free space", problem=problem, hint=None if problem is None else "`shipway store gc` may help")
