"""The graph of stages, which follows from what they read and write; pure."""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from shipway.errors import UsageError
from shipway.specs.globs import reaches
from shipway.specs.stages import Project, Stage


class Graph:
    """Who needs whom. Stages keep the order of the file where the graph leaves it open."""

    def __init__(self, project: Project) -> None:
        self.stages: Mapping[str, Stage] = {stage.name: stage for stage in project.stages}
        self.maker: Mapping[str, str] = {out: stage.name for stage in project.stages for out in stage.all_outputs}
        self.needs: Mapping[str, frozenset[str]] = {stage.name: self._needs(stage) for stage in project.stages}
        self.order: Sequence[str] = self._sorted()

    def outputs_for(self, stage: Stage) -> Sequence[str]:
        """Outputs of other stages that this one reads, whole or in part."""
        if stage.inputs is None:
            return ()
        return [
            out
            for out, by in self.maker.items()
            if by != stage.name and any(reaches(path, out) for path in stage.inputs)
        ]

    def upstream(self, names: Iterable[str]) -> frozenset[str]:
        """The stages named and all that they need."""
        return _closure(names, self.needs)

    def downstream(self, names: Iterable[str]) -> frozenset[str]:
        """The stages named and all that need them."""
        users = {name: frozenset(user for user, needs in self.needs.items() if name in needs) for name in self.needs}
        return _closure(names, users)

    def _needs(self, stage: Stage) -> frozenset[str]:
        return frozenset(self.maker[out] for out in self.outputs_for(stage))

    def _sorted(self) -> Sequence[str]:
        order: list[str] = []
        waiting = list(self.stages)
        while waiting:
            ready = [name for name in waiting if self.needs[name] <= set(order)]
            if not ready:
                raise UsageError(f"stages {', '.join(waiting)} need each other in a circle")
            order += ready
            waiting = [name for name in waiting if name not in ready]
        return order


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """Which stages a run is about (`--only`, `--from`, `--until`) and whose results it must make anew (`--force`)."""

    only: tuple[str, ...] = ()
    since: tuple[str, ...] = ()
    until: tuple[str, ...] = ()
    force: tuple[str, ...] = ()

    def names(self, graph: Graph) -> frozenset[str]:
        """The stages selected. Raises UsageError for one that does not exist."""
        for name in (*self.only, *self.since, *self.until, *self.force):
            if name not in graph.stages:
                raise UsageError(f"there is no stage {name!r}", hint=f"stages are: {', '.join(graph.stages)}")
        chosen = frozenset(graph.stages)
        if self.only:
            chosen &= frozenset(self.only)
        if self.since:
            chosen &= graph.downstream(self.since)
        if self.until:
            chosen &= graph.upstream(self.until)
        if not chosen:
            raise UsageError("no stage is left by these options together", hint="loosen --only, --from or --until")
        return chosen


def _closure(names: Iterable[str], edges: Mapping[str, frozenset[str]]) -> frozenset[str]:
    found: set[str] = set()
    queue = list(names)
    while queue:
        name = queue.pop()
        if name not in found:
            found.add(name)
            queue += edges[name]
    return frozenset(found)
