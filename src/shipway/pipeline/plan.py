"""The plan: for each stage whether its result is at hand, and if not, why not."""

from collections.abc import Iterator, Mapping

import msgspec

from shipway.errors import NotFoundError, UsageError
from shipway.images.base import EnvironmentBuilder
from shipway.journal.base import Journal
from shipway.pipeline.graph import Graph, Selection
from shipway.pipeline.inputs import Inputs, Resolved
from shipway.pipeline.keys import differences, key_of
from shipway.specs.stages import Hit, KeyParts, Project, Stage, StageResult
from shipway.specs.trees import Digest, Tree, digest_of
from shipway.store.base import Store


class Planned(msgspec.Struct, frozen=True, kw_only=True):
    """One stage of a plan. `key` and `parts` are None while a stage that it needs has yet to run."""

    stage: str
    state: Hit
    selected: bool = True
    key: Digest | None = None
    parts: KeyParts | None = None
    result: StageResult | None = None
    reasons: tuple[str, ...] = ()


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """`digest` names what was asked for and on which files, whatever is a hit by now; stages stand in the order of the graph."""

    digest: Digest
    selection: Selection
    stages: tuple[Planned, ...]

    @property
    def all_hit(self) -> bool:
        return all(planned.state is Hit.HIT for planned in self.stages if planned.selected)


class Planner:
    """Looks at files, parameters and environments, and looks keys up; starts nothing and stores nothing but small listings."""

    def __init__(
        self, project: Project, inputs: Inputs, store: Store, journal: Journal, environments: EnvironmentBuilder
    ) -> None:
        self.project = project
        self.graph = Graph(project)
        self.inputs = inputs
        self._store = store
        self._journal = journal
        self._environments = environments

    def plan(self, selection: Selection) -> Plan:
        """Raises UsageError where a stage that is left out has no result for those that are selected."""
        names = selection.names(self.graph)
        needed = self.graph.upstream(names)
        outputs: dict[str, Digest] = {}
        stages: list[Planned] = []
        for name in self.graph.order:
            if name not in needed:
                continue
            planned = self._planned(self.graph.stages[name], outputs, selection, selected=name in names)
            if planned.result is not None:
                outputs.update(planned.result.outputs)
            elif not planned.selected:
                raise UsageError(
                    f"stage {name} is left out, but it has no result for the files as they are",
                    hint=f"run it as well: leave out --only and --from, or first `shipway run --only {name}`",
                )
            stages.append(planned)
        self.inputs.save()
        return Plan(digest=self._digest(selection, needed), selection=selection, stages=tuple(stages))

    def parts(self, stage: Stage, resolved: Resolved, environment: Digest) -> KeyParts:
        return KeyParts(
            command=stage.command,
            inputs=resolved.trees,
            params=resolved.params,
            environment=environment,
            outputs=stage.all_outputs,
            env=stage.env,
        )

    def lookup(self, key: Digest) -> StageResult | None:
        """The result of a key, if all that it made is still in the store."""
        found = self._store.result(key)
        if found is None:
            return None
        result = msgspec.json.decode(found, type=StageResult)
        return result if all(self._store.has_tree(tree) for tree in result.outputs.values()) else None

    def _planned(self, stage: Stage, outputs: Mapping[str, Digest], selection: Selection, *, selected: bool) -> Planned:
        resolved = self.inputs.resolve(stage, outputs)
        if resolved is None:
            missing = {self.graph.maker[path] for path in self.graph.outputs_for(stage) if path not in outputs}
            waits = [need for need in self.graph.order if need in missing]
            return Planned(stage=stage.name, state=Hit.WAITS, selected=selected, reasons=(f"after {', '.join(waits)}",))
        environment = self._environments.digest(stage.environment)
        if environment is None:
            why = f"environment {stage.environment.requirements} is not resolved yet"
            return Planned(stage=stage.name, state=Hit.MISS, selected=selected, reasons=(why,))
        parts = self.parts(stage, resolved, environment)
        key = key_of(parts)
        forced = selected and stage.name in selection.force
        result = None if forced else self.lookup(key)
        reasons = () if result else ("forced",) if forced else tuple(self._why(stage, key, parts))
        state = Hit.HIT if result else Hit.MISS
        return Planned(
            stage=stage.name, state=state, selected=selected, key=key, parts=parts, result=result, reasons=reasons
        )

    def _why(self, stage: Stage, key: Digest, parts: KeyParts) -> Iterator[str]:
        last = self._journal.last_key(self.project.name, stage.name)
        found = None if last is None else self._store.result(last)
        if found is None:
            yield "no result yet" if last is None else "its last result is no longer in the store"
        elif last == key:
            yield "the files of its result are no longer in the store"
        else:
            yield from differences(msgspec.json.decode(found, type=StageResult).parts, parts, self._listing)

    def _listing(self, digest: Digest) -> Tree | None:
        try:
            return self._store.tree(digest)
        except NotFoundError:
            return self.inputs.scanned(digest)

    def _digest(self, selection: Selection, needed: frozenset[str]) -> Digest:
        facts = [
            (
                self.graph.stages[name],
                {source.path: source.scan.digest for source in self.inputs.sources(self.graph.stages[name])},
                self.inputs.parameters(self.graph.stages[name]),
                self._environments.digest(self.graph.stages[name].environment),
            )
            for name in self.graph.order
            if name in needed
        ]
        asked = (self.project.name, selection, facts, self.inputs.override)
        return digest_of(msgspec.json.encode(asked, order="deterministic"))
