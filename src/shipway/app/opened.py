"""An opened project: its file, and every adapter that the file names, made when first asked for."""

import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from shipway.backends.base import Backend
from shipway.config.files import find_project, load_project
from shipway.config.params import Parameters
from shipway.endpoints.base import Endpoint
from shipway.errors import ConfigError, NotFoundError
from shipway.images.base import EnvironmentBuilder
from shipway.journal.base import Journal
from shipway.pipeline.graph import Graph
from shipway.pipeline.inputs import Inputs
from shipway.pipeline.plan import Planner
from shipway.specs.stages import EndpointSpec, Project
from shipway.store.directory import DirectoryStore
from shipway.store.hashing import Scanner
from shipway.store.views import Views
from shipway.tracking.base import ModelRegistry, Tracker


class Opened:
    """
    One project on this machine. What Shipway keeps for it lies in `.shipway/` beside its file, which git ignores.

    `overrides` are `key=value` texts for params.yaml.
    """

    def __init__(self, start: Path, overrides: Sequence[str] = ()) -> None:
        self.file = find_project(start)
        self.root = self.file.parent
        self.home = self.root / ".shipway"
        self.overrides = tuple(overrides)
        self._backends: dict[str, Backend] = {}

    @cached_property
    def project(self) -> Project:
        _make_home(self.home)
        return load_project(self.file, cache=self.home / "cache")

    @cached_property
    def store(self) -> DirectoryStore:
        where = self.project.store
        return DirectoryStore(self.home / "store" if where is None else _directory(self.root, where))

    @cached_property
    def journal(self) -> Journal:
        from shipway.journal.sql import open_journal

        return open_journal(self.project.journal or self.home / "journal.db")

    @cached_property
    def views(self) -> Views:
        return Views(self.home / "views", self.store)

    @cached_property
    def scanner(self) -> Scanner:
        return Scanner(self.home / "cache" / "stat")

    @cached_property
    def environments(self) -> EnvironmentBuilder:
        from shipway.images.venv import VenvBuilder

        return VenvBuilder(self.root, self.home, self.store)

    @cached_property
    def planner(self) -> Planner:
        parameters = Parameters.load(self.root, self.overrides, cache=self.home / "cache")
        inputs = Inputs(self.root, Graph(self.project), self.scanner, self.store, parameters)
        return Planner(self.project, inputs, self.store, self.journal, self.environments)

    @cached_property
    def tracking(self) -> tuple[Tracker, ModelRegistry]:
        from shipway.tracking.registry import open_tracking

        return open_tracking(self.project.tracking, home=self.home, store=self.store, project=self.project.name)

    @property
    def tracked(self) -> bool:
        return self.project.tracking != "off"

    def backend(self, site: str) -> Backend:
        """The backend of a site, one instance each."""
        if site not in self._backends:
            from shipway.backends.registry import backend_class

            spec = next((found for found in self.project.sites if found.name == site), None)
            kind = "process" if spec is None else spec.kind
            workspace = self.home if spec is None or spec.workspace is None else self.root / spec.workspace
            self._backends[site] = backend_class(kind)(workspace, self.store, self.views)  # type: ignore[call-arg]  # the constructor is each adapter's own
        return self._backends[site]

    def endpoint_spec(self, name: str) -> EndpointSpec:
        """Raises NotFoundError with the names there are."""
        for spec in self.project.endpoints:
            if spec.name == name:
                return spec
        names = ", ".join(spec.name for spec in self.project.endpoints) or "none"
        raise NotFoundError(f"there is no endpoint {name!r} in {self.file.name}", hint=f"endpoints are: {names}")

    def endpoint(self, spec: EndpointSpec) -> Endpoint:
        from shipway.endpoints.registry import open_endpoint

        return open_endpoint(spec, self.home / "endpoints")

    def secret(self, name: str) -> str:
        """A secret's value from the environment. Raises ConfigError if it is not set."""
        if name not in os.environ:
            raise ConfigError([f"secret {name} is not set"], hint=f"export {name} before you start Shipway")
        return os.environ[name]


def _directory(root: Path, where: str) -> Path:
    """The project's own choice of a store, which need not exist yet. Raises ConfigError where there can be no directory."""
    chosen = root / where
    there = next(path for path in (chosen, *chosen.parents) if path.exists())
    if not there.is_dir():
        raise ConfigError(
            [f"store: {where} cannot be a directory: {there} is a file"], hint="name another place in shipway.yaml"
        )
    return chosen


def _make_home(home: Path) -> None:
    if not (home / ".gitignore").exists():
        home.mkdir(mode=0o700, exist_ok=True)
        (home / ".gitignore").write_text("*\n")
