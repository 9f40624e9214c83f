"""
What the parts of a project mean to each other, checked over the whole file.

A part that was at fault has been left out, so a check that could blame its absence on something else looks at `broken` first.
"""

from collections.abc import Iterator

from shipway.config.build import judges
from shipway.config.faults import Faults, Loc
from shipway.config.gates import check_gate
from shipway.config.presence import missing
from shipway.config.text import Document
from shipway.specs.globs import is_glob, reaches, within
from shipway.specs.models import CHALLENGER, CHAMPION
from shipway.specs.nearest import suggestion
from shipway.specs.stages import EndpointSpec, ModelSpec, Project, Stage

_OWN_FILES = ("shipway.yaml", "params.yaml")
_ANY_HOST = ("0.0.0.0", "::")


def check(project: Project, document: Document, faults: Faults, broken: frozenset[str]) -> None:
    """Add every fault that the parts of `project` make together; `broken` names the sections from which something was left out."""
    checks = _Checks(project, document, faults)
    checks.outputs()
    checks.own_outputs()
    checks.circles()
    checks.variables()
    checks.ports()
    if "sites" not in broken:
        checks.sites()
    if not broken & {"stages", "model"}:
        checks.model(gated="gate" not in broken)
    if "stages" not in broken:
        checks.presence()
        if not project.stages:
            faults.add(document.place(("stages",)), ("stages",), "there is no stage in it")
    check_gate(project, document, faults)


def named_outputs(stage: Stage) -> Iterator[tuple[Loc, str]]:
    """Each path that the stage writes, with where the file names it."""
    for key in ("outputs", "metrics", "plots"):
        for index, path in enumerate(getattr(stage, key)):
            yield ("stages", stage.name, key, index), path
    if stage.samples is not None:
        yield ("stages", stage.name, "samples"), stage.samples


class _Checks:
    def __init__(self, project: Project, document: Document, faults: Faults) -> None:
        self._project = project
        self._document = document
        self._faults = faults

    def _add(self, loc: Loc, text: str) -> None:
        shown = loc if loc in self._document.places or not isinstance(loc[-1], int) else loc[:-1]
        self._faults.add(self._document.place(loc), shown, text)

    def outputs(self) -> None:
        """Outputs that cannot be one stage's own."""
        seen: list[tuple[Stage, str]] = []
        for stage in self._project.stages:
            for loc, path in named_outputs(stage):
                if is_glob(path):
                    self._add(loc, f"{path!r} is a pattern; an output is one file or directory")
                elif path in (".", *_OWN_FILES):
                    self._add(loc, f"{path!r} cannot be an output")
                else:
                    self._overlaps(loc, stage, path, seen)
                    seen.append((stage, path))
                if loc[2] == "metrics" and not path.endswith((".json", ".jsonl", ".csv")):
                    self._add(loc, f"{path!r} is not a file that metrics are read from (.json, .jsonl or .csv)")

    def _overlaps(self, loc: Loc, stage: Stage, path: str, seen: list[tuple[Stage, str]]) -> None:
        for other, taken in seen:
            whose = "this stage" if other is stage else f"stage {other.name}"
            if path == taken:
                if other is not stage:
                    self._add(loc, f"{path!r} is an output of {whose} already")
                    return
            elif within(path, taken):
                self._add(loc, f"{path!r} lies in {taken!r}, an output of {whose}")
                return
            elif within(taken, path):
                self._add(loc, f"{path!r} holds {taken!r}, an output of {whose}")
                return

    def own_outputs(self) -> None:
        """Stages that read what they write. A glob or a directory around an output is no fault: it never brings that in."""
        for stage in self._project.stages:
            for index, path in enumerate(stage.inputs or ()):
                own = next((out for out in stage.all_outputs if within(path, out)), None)
                if own is not None:
                    through = "" if own == path else f", its own output {own!r}"
                    self._add(
                        ("stages", stage.name, "inputs", index),
                        f"the stage reads {path!r}{through or ', which it writes'}",
                    )

    def circles(self) -> None:
        """Stages that need each other; each circle is told once, at its first stage."""
        needs = {stage.name: self._needs(stage) for stage in self._project.stages}
        done: set[str] = set()
        for start in needs:
            circle = _circle(start, needs, done)
            if circle:
                first = min(circle, key=list(needs).index)
                turned = circle[circle.index(first) :] + circle[: circle.index(first)]
                path = " → ".join((*turned, first))
                loc = ("stages", first)
                self._faults.add(self._document.key_place(loc), loc, f"stages need each other in a circle: {path}")

    def _needs(self, stage: Stage) -> list[str]:
        return [
            other.name
            for other in self._project.stages
            if other is not stage
            and any(reaches(path, out) for path in stage.inputs or () for out in other.all_outputs)
        ]

    def variables(self) -> None:
        """Variables that are secrets as well."""
        owners: list[tuple[str, Stage | EndpointSpec]] = [("stages", stage) for stage in self._project.stages]
        owners += [("endpoints", endpoint) for endpoint in self._project.endpoints]
        for section, owner in owners:
            for name in owner.secrets:
                if name in owner.env:
                    places: list[Loc] = [(section, owner.name, "env", name), ("env", name)]
                    loc = next((loc for loc in places if loc in self._document.places), (section, owner.name))
                    self._add(loc, f"{name} is a secret as well (take it out of one of the two)")

    def ports(self) -> None:
        """Endpoints that would listen at one place."""
        seen: list[EndpointSpec] = []
        for endpoint in self._project.endpoints:
            other = next((other for other in seen if other.port == endpoint.port and _one_host(other, endpoint)), None)
            if other is not None:
                self._add(("endpoints", endpoint.name, "port"), f"{endpoint.port} is taken by endpoint {other.name}")
            seen.append(endpoint)

    def sites(self) -> None:
        names = [site.name for site in self._project.sites]
        for stage in self._project.stages:
            if stage.site not in names:
                self._add(
                    ("stages", stage.name, "on"), f"there is no site {stage.site!r}{suggestion(stage.site, names)}"
                )

    def presence(self) -> None:
        for loc, text in missing(self._project):
            self._add(loc if loc[:3] in self._document.places else loc[2:], text)

    def model(self, *, gated: bool) -> None:
        """What the model, the gate and the endpoints need of the stages."""
        model = self._project.model
        if model is None:
            for section, why in (("gate", "judge"), ("endpoints", "serve")):
                if getattr(self._project, section):
                    self._add((section,), f"there is no model to {why} (say which with `model: {{name: …, path: …}}`)")
            return
        if model.name in (CHAMPION, CHALLENGER):
            self._add(("model", "name"), f"{model.name!r} is what the registry calls one version of a model")
        outputs = [out for stage in self._project.stages for out in stage.all_outputs]
        if model.path not in outputs:
            inside = next((out for out in outputs if within(model.path, out)), None)
            hint = f" (it lies in {inside!r}; name the whole output)" if inside else suggestion(model.path, outputs)
            self._add(("model", "path"), f"{model.path!r} is not an output of a stage{hint}")
            return
        self._evaluation(model.path, gated=gated and bool(self._project.gate))
        self._samples(model)

    def _evaluation(self, path: str, *, gated: bool) -> None:
        model = self._project.model
        stages = {stage.name: stage for stage in self._project.stages}
        found = judges(path, self._project.stages)
        loc: Loc = ("model", "evaluate")
        if loc in self._document.places and model is not None and model.evaluate is not None:
            stage = stages.get(model.evaluate)
            if stage is None:
                self._add(loc, f"there is no stage {model.evaluate!r}{suggestion(model.evaluate, stages)}")
            elif not any(reaches(read, path) for read in stage.inputs or ()):
                self._add(loc, f"stage {stage.name} does not read {path!r} (put it into its inputs)")
            elif gated and not stage.metrics:
                self._add(loc, f"stage {stage.name} writes no metrics for the gate")
        elif len(found) > 1:
            self._add(
                ("model",),
                f"stages {', '.join(found)} read {path!r} and write metrics (say which judges it: `evaluate: {found[0]}`)",
            )
        elif gated and not found:
            self._add(("gate",), f"no stage reads {path!r} and writes metrics, so nothing can be judged")

    def _samples(self, model: ModelSpec) -> None:
        """Samples that no rollout would be verified by."""
        judging = [model.evaluate] if model.evaluate is not None else judges(model.path, self._project.stages)
        if len(judging) > 1 or not {stage.name for stage in self._project.stages} >= set(judging):
            return  # which stage judges is told to be unclear already
        for stage in self._project.stages:
            if stage.samples is not None and stage.name not in judging:
                judge = judging[0] if judging else "none here"
                reads = any(reaches(path, model.path) for path in stage.inputs or ())
                fix = f"put `evaluate: {stage.name}` into `model`" if reads else "put the path into outputs"
                text = f"samples come from the stage that judges the model, which is {judge} ({fix})"
                self._add(("stages", stage.name, "samples"), text)


def _one_host(left: EndpointSpec, right: EndpointSpec) -> bool:
    hosts = {"127.0.0.1" if endpoint.host == "localhost" else endpoint.host for endpoint in (left, right)}
    return len(hosts) == 1 or any(host in _ANY_HOST for host in hosts)


def _circle(start: str, needs: dict[str, list[str]], done: set[str]) -> list[str]:
    """The first circle met from `start`, as names each of which feeds the next; walked without recursion."""
    path: list[str] = []
    stack: list[tuple[str, Iterator[str]]] = [(start, iter(needs[start]))] if start not in done else []
    while stack:
        name, following = stack[-1]
        if not path or path[-1] != name:
            path.append(name)
        step = next(following, None)
        if step is None:
            done.add(path.pop())
            stack.pop()
        elif step in path:
            circle = path[path.index(step) :]
            done.update(path)
            return circle[::-1]
        elif step not in done:
            stack.append((step, iter(needs[step])))
    return []
