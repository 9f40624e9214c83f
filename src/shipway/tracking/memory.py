"""Tracker and registry in memory, for tests; several of them may share one state."""

import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from shipway.errors import NotFoundError, UsageError
from shipway.specs.models import ModelVersion
from shipway.specs.runs import RunState
from shipway.tracking.base import ModelRegistry, TrackedMetric, Tracker
from shipway.tracking.cards import check_alias, check_name, same_model


class TrackedRun(msgspec.Struct, kw_only=True):
    """What a MemoryTracker was told of one run; a directory's files are artifacts each by its path."""

    run: str
    name: str
    tags: dict[str, str] = {}
    params: dict[str, str] = {}
    metrics: list[TrackedMetric] = []
    artifacts: dict[str, bytes] = {}
    state: RunState = RunState.RUNNING
    started: float | None = None
    ended: float | None = None


class MemoryTracker(Tracker):
    """Keeps runs in a dict by the tracker's own id, which is `memory-` and Shipway's id."""

    def __init__(self, runs: dict[str, TrackedRun] | None = None) -> None:
        self.runs = {} if runs is None else runs
        self._lock = threading.RLock()

    def start(self, run: str, *, name: str, tags: Mapping[str, str], at: float | None = None) -> str:
        with self._lock:
            found = self.runs.setdefault(f"memory-{run}", TrackedRun(run=run, name=name, started=at))
            found.tags.update({**tags, "shipway.run": run})
        return f"memory-{run}"

    def log(
        self,
        tracked: str,
        *,
        params: Mapping[str, str] = {},
        metrics: Sequence[TrackedMetric] = (),
        tags: Mapping[str, str] = {},
    ) -> None:
        for name in (*params, *tags, *(metric.name for metric in metrics)):
            if not name or len(name) > 250:
                raise UsageError(f"names have 1 to 250 characters, not {len(name)}: {name[:40]!r}")
        with self._lock:
            run = self._run(tracked)
            run.params.update({name: value for name, value in params.items() if name not in run.params})
            run.tags.update(tags)
            seen = {str(metric) for metric in run.metrics}  # as text, because NaN is not equal to itself
            run.metrics.extend(metric for metric in metrics if str(metric) not in seen)

    def save(self, tracked: str, source: Path, name: str) -> None:
        if not source.exists():
            raise NotFoundError(f"artifact {name}: there is no {source}")
        files = (
            {name: source}
            if source.is_file()
            else {f"{name}/{path.relative_to(source)}": path for path in source.rglob("*") if path.is_file()}
        )
        with self._lock:
            self._run(tracked).artifacts.update({at: path.read_bytes() for at, path in files.items()})

    def finish(self, tracked: str, state: RunState, *, at: float | None = None) -> None:
        with self._lock:
            run = self._run(tracked)
            run.state, run.ended = state, at

    def environment(self, tracked: str | None) -> Mapping[str, str]:
        return {} if tracked is None else {"SHIPWAY_TRACKED": tracked}

    def _run(self, tracked: str) -> TrackedRun:
        try:
            return self.runs[tracked]
        except KeyError:
            raise NotFoundError(f"no tracked run {tracked}") from None


class MemoryRegistry(ModelRegistry):
    """Keeps versions in a list, oldest first, and aliases by (model, alias)."""

    def __init__(
        self, models: list[ModelVersion] | None = None, aliases: dict[tuple[str, str], str] | None = None
    ) -> None:
        self.models = [] if models is None else models
        self.aliases = {} if aliases is None else aliases
        self._lock = threading.RLock()

    def register(self, version: ModelVersion, source: Path, *, tracked: str | None = None) -> ModelVersion:
        check_name(version.name)
        if not source.exists():
            raise NotFoundError(f"model {version.name}: there is no {source}")
        with self._lock:
            known = [one for one in self.models if one.name == version.name]
            for one in known:
                if same_model(one, version):
                    return self._shown(one)
            made = msgspec.structs.replace(version, version=str(len(known) + 1), aliases=(), created=time.time())
            self.models.append(made)
            return made

    def resolve(self, name: str, which: str) -> ModelVersion | None:
        number = which if which.isdigit() else self.aliases.get((name, which))
        return next((one for one in self.versions(name) if one.version == number), None)

    def promote(self, name: str, version: str, alias: str) -> None:
        check_alias(alias)
        with self._lock:
            if self.resolve(name, version) is None or not version.isdigit():
                raise NotFoundError(f"model {name} has no version {version}")
            self.aliases[name, alias] = version

    def versions(self, name: str) -> Sequence[ModelVersion]:
        with self._lock:
            return [self._shown(one) for one in reversed(self.models) if one.name == name]

    def _shown(self, one: ModelVersion) -> ModelVersion:
        aliases = sorted(
            alias for (name, alias), number in self.aliases.items() if (name, number) == (one.name, one.version)
        )
        return msgspec.structs.replace(one, aliases=tuple(aliases))
