"""
Ships a model: gate → register → pack → roll out → verify → champion, each step recorded before the next begins.

A driver that takes a run up finds the recorded steps and does only what is left.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import msgspec

from shipway.delivery.gate import judge
from shipway.delivery.pack import Pack, pack
from shipway.delivery.register import promote_champion, register
from shipway.delivery.rollout import check_for, holder, roll_back, roll_out
from shipway.delivery.turns import endpoint_turn
from shipway.endpoints.base import Endpoint
from shipway.errors import GateError, ShipwayError, UsageError
from shipway.journal.base import Journal
from shipway.pipeline.engine import Owner
from shipway.pipeline.metrics import load_metrics
from shipway.pipeline.retry import Clock
from shipway.pipeline.session import Session
from shipway.pipeline.tools import Task
from shipway.specs.models import CHAMPION, ModelVersion, Outcome, Triple, Verdict
from shipway.specs.stages import EndpointSpec, JsonValue, ModelSpec, Project, StageResult
from shipway.store.base import Store
from shipway.tracking.base import ModelRegistry


class Dock(NamedTuple):
    """What shipping works with; `app` puts it together."""

    project: Project
    store: Store
    journal: Journal
    registry: ModelRegistry
    bring: Callable[[Session, Task], StageResult]
    endpoint: Callable[[EndpointSpec], Endpoint]
    python: Callable[[], str]
    """The interpreter that can load the model and serve it."""
    secret: Callable[[str], str]
    tracked: Callable[[], str | None]
    home: Path
    """Where bundles and endpoints lie."""
    owner: Owner
    clock: Clock


class Goods(NamedTuple):
    """What is to be shipped: all results of the run, and where the model comes from."""

    results: Mapping[str, StageResult]
    made: StageResult
    triple: Triple
    endpoints: Sequence[EndpointSpec]
    """Where to; the champion moves only if these are all."""


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """The recorded step `gate`."""

    verdict: Verdict
    metrics: Mapping[str, float]


def ship(dock: Dock, session: Session, goods: Goods) -> Verdict:
    """
    Deliver the model unless the gate holds it; the caller ends the run by the verdict.

    Raises GateError where a condition cannot be judged, RolloutError after everything serves again as it did before.
    """
    return _Shipping(dock, session, goods).all()


def model_of(project: Project) -> ModelSpec:
    """Raises UsageError for a project that names no model."""
    if project.model is None:
        raise UsageError("this project names no model to ship", hint="add `model: {name: …, path: …}` to shipway.yaml")
    return project.model


class _Shipping:
    def __init__(self, dock: Dock, session: Session, goods: Goods) -> None:
        self._dock = dock
        self._session = session
        self._goods = goods
        self._model = model_of(dock.project)
        self._tree = goods.made.outputs[self._model.path]

    def all(self) -> Verdict:
        judged = self._judged()
        if judged.verdict.outcome is Outcome.OPEN:
            version = msgspec.convert(self._session.step("register", lambda: self._register(judged)), ModelVersion)
            self._session.note("registered", model=version.name, version=version.version)
            self._roll_out_all(version)
            if len(self._goods.endpoints) == len(self._dock.project.endpoints):
                self._session.step("champion", lambda: self._promote(version))
        return judged.verdict

    # Gate

    def _judged(self) -> Judged:
        judged = msgspec.convert(self._session.step("gate", lambda: _json(self._judge())), Judged)
        self._session.note("verdict", **_json(judged.verdict))
        if judged.verdict.outcome is Outcome.ERROR:
            faults = [f"{c.text}: {c.note}" for c in judged.verdict.conditions if c.outcome is Outcome.ERROR]
            raise GateError(f"the gate cannot judge: {'; '.join(faults)}")
        return judged

    def _judge(self) -> Judged:
        evaluate = self._model.evaluate
        metrics = {} if evaluate is None else self._metrics(evaluate, self._goods.results[evaluate])
        champion = self._dock.registry.resolve(self._model.name, CHAMPION)
        rival = None if champion is None else self._champion_metrics(champion, metrics)
        verdict = judge(self._dock.project.gate, metrics, rival)
        named = None if champion is None else champion.version
        return Judged(verdict=msgspec.structs.replace(verdict, champion=named), metrics=metrics)

    def _champion_metrics(self, champion: ModelVersion, own: Mapping[str, float]) -> Mapping[str, float]:
        """The champion's metrics on today's evaluation data: the evaluate stage with its model as input, a key like any other."""
        dock, evaluate = self._dock, self._model.evaluate
        if (
            evaluate is None
            or champion.tree == self._tree
            or not any("champion." in text for text in dock.project.gate)
        ):
            return own
        if not dock.store.has_tree(champion.tree):
            raise GateError(
                f"the champion, {champion.name} version {champion.version}, cannot be judged again: the store does not hold it any more",
                hint="promote a version that is still in the store, or take `champion.` out of the gate once",
            )
        outputs = {path: tree for result in self._goods.results.values() for path, tree in result.outputs.items()}
        task = Task(
            name=f"{evaluate}@champion",
            stage=dock.project.stage(evaluate),
            outputs={**outputs, self._model.path: champion.tree},
        )
        return self._metrics(evaluate, dock.bring(self._session, task))

    def _metrics(self, stage: str, result: StageResult) -> Mapping[str, float]:
        paths = self._dock.project.stage(stage).metrics
        return load_metrics(self._dock.store, {path: result.outputs[path] for path in paths}, at=result.ended).values

    # Register

    def _register(self, judged: Judged) -> JsonValue:
        version = ModelVersion(
            name=self._model.name,
            tree=self._tree,
            triple=self._goods.triple,
            key=self._goods.made.key,
            run=self._session.run.id,
            metrics=judged.metrics,
            verdict=judged.verdict.outcome,
        )
        dock, file_name = self._dock, PurePosixPath(self._model.path).name
        return _json(register(dock.registry, version, dock.store, dock.tracked(), file_name=file_name))

    def _promote(self, version: ModelVersion) -> JsonValue:
        """The champion is what serves: a run that was taken up late leaves it to the one that has shipped since."""
        assert version.version is not None
        dock = self._dock
        with ExitStack() as turns:
            for spec in sorted(
                self._goods.endpoints, key=lambda spec: spec.name
            ):  # all in one order: nobody waits in a circle
                turns.enter_context(
                    endpoint_turn(dock.journal, dock.owner, f"{dock.project.name}/{spec.name}", dock.clock)
                )
                serving = holder(dock.endpoint(spec).rollout())
                if serving is None or serving.version != version.version:
                    now = None if serving is None else serving.name
                    self._session.note("superseded", endpoint=spec.name, revision=now)
                    return None
            promote_champion(dock.registry, version.name, version.version)
        return version.version

    # Roll out

    def _roll_out_all(self, version: ModelVersion) -> None:
        dock, done = self._dock, list[EndpointSpec]()
        for spec in self._goods.endpoints:
            try:
                with endpoint_turn(dock.journal, dock.owner, f"{dock.project.name}/{spec.name}", dock.clock):
                    self._roll_out(spec, version)
            except ShipwayError:
                self._undo(done)
                raise
            done.append(spec)

    def _roll_out(self, spec: EndpointSpec, version: ModelVersion) -> None:
        dock, endpoint = self._dock, self._dock.endpoint(spec)
        what = Pack(
            model=version,
            endpoint=spec,
            python=dock.python(),
            path=self._model.path,
            samples=self._samples(spec),
            secrets={name: dock.secret(name) for name in spec.secrets},
        )
        before = holder(endpoint.rollout())
        release = pack(what, dock.store, dock.home)
        self._session.at("packed")

        def make() -> JsonValue:
            after = roll_out(endpoint, release, check_for(release, spec.tolerance), self._at)
            return {
                "endpoint": spec.name,
                "revision": release.revision,
                "before": None if before is None else before.name,
                "url": after.url,
                "verified": what.samples is not None,
            }

        value = self._session.step(f"rollout {spec.name}", make)
        assert isinstance(value, dict)
        self._session.note("released", **value)

    def _at(self, point: str) -> None:
        """A run that is told to stop in the middle of a rollout takes it back."""
        self._session.at(point)
        self._session.go_on()

    def _samples(self, spec: EndpointSpec) -> bytes | None:
        """The endpoint's own file of samples, else those that the evaluate stage wrote."""
        dock, evaluate = self._dock, self._model.evaluate
        if spec.samples is not None:
            try:
                return (Path(dock.project.root) / spec.samples).read_bytes()
            except OSError as error:
                raise UsageError(
                    f"the samples {spec.samples} of endpoint {spec.name} cannot be read: {error}"
                ) from error
        if evaluate is None or (path := dock.project.stage(evaluate).samples) is None:
            return None
        entry = dock.store.tree(self._goods.results[evaluate].outputs[path]).entries[0]
        assert entry.digest is not None
        with dock.store.open(entry.digest) as stream:
            return stream.read()

    def _undo(self, done: Sequence[EndpointSpec]) -> None:
        """One endpoint failed: those shipped to before it serve again what they did, so that all serve the same."""
        for spec in reversed(done):
            try:
                secrets = {name: self._dock.secret(name) for name in spec.secrets}
                back = roll_back(self._dock.endpoint(spec), None, spec.tolerance, secrets)
                revision = None if back.serving is None else back.serving.name
                self._session.note("rolled back", endpoint=spec.name, revision=revision)
            except ShipwayError as error:
                self._session.note("not rolled back", endpoint=spec.name, error=error.message)


def _json(value: object) -> dict[str, JsonValue]:
    built: dict[str, JsonValue] = msgspec.to_builtins(value)
    return built
