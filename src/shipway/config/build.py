"""What the file says becomes the nouns that everything else works with, with every default filled in."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shipway.config.schema import (
    EndpointSection,
    EnvironmentSection,
    ModelSection,
    ProjectSection,
    ResourcesSection,
    SiteSection,
    StageSection,
)
from shipway.specs.globs import reaches
from shipway.specs.jobs import Resources
from shipway.specs.stages import EndpointSpec, Environment, ModelSpec, Project, Site, Stage

LOCAL = "local"


def build(section: ProjectSection, root: Path) -> Project:
    """`section` may lack parts that were at fault; then the result is for checking only."""
    stages = tuple(_stage(name, stage, section) for name, stage in section.stages.items())
    sites = {LOCAL: Site(name=LOCAL)} | {name: _site(name, site) for name, site in (section.sites or {}).items()}
    return Project(
        name=section.project,
        root=str(root),
        stages=stages,
        sites=tuple(sites.values()),
        model=None if section.model is None else _model(section.model, stages),
        gate=section.gate or (),
        endpoints=tuple(_endpoint(name, endpoint) for name, endpoint in (section.endpoints or {}).items()),
        store=section.store,
        tracking=section.tracking,
        journal=section.journal,
    )


def judges(path: str, stages: tuple[Stage, ...]) -> list[str]:
    """The stages that may be the evaluation of a model: they read it and write metrics."""
    return [
        stage.name
        for stage in stages
        if stage.metrics and path not in stage.all_outputs and any(reaches(read, path) for read in stage.inputs or ())
    ]


def _stage(name: str, stage: StageSection, project: ProjectSection) -> Stage:
    resources = stage.resources or ResourcesSection()
    return Stage(
        name=name,
        command=stage.run,
        inputs=stage.inputs,
        params=tuple(dict.fromkeys(stage.params or ())),
        outputs=stage.outputs or (),
        metrics=stage.metrics or (),
        plots=stage.plots or (),
        samples=stage.samples,
        site=stage.on,
        environment=_environment(stage.environment or project.environment),
        env=_merged(project.env, stage.env),
        secrets=tuple(dict.fromkeys((*(project.secrets or ()), *(stage.secrets or ())))),
        resources=Resources(cpus=resources.cpus, memory_mib=resources.memory, gpus=resources.gpus),
        timeout=resources.time,
        tracked=stage.tracked,
    )


def _environment(environment: EnvironmentSection | None) -> Environment:
    if environment is None:
        return Environment()
    return Environment(requirements=environment.requirements, python=environment.python)


def _merged(*envs: Mapping[str, str] | None) -> dict[str, str]:
    return {name: value for env in envs for name, value in (env or {}).items()}


def _site(name: str, site: SiteSection) -> Site:
    return Site(name=name, kind=site.kind, workspace=site.workspace)


def _model(model: ModelSection, stages: tuple[Stage, ...]) -> ModelSpec:
    found = judges(model.path, stages)
    return ModelSpec(
        name=model.name, path=model.path, evaluate=model.evaluate or (found[0] if len(found) == 1 else None)
    )


def _endpoint(name: str, endpoint: EndpointSection) -> EndpointSpec:
    plain: dict[str, Any] = {
        key: getattr(endpoint, key) for key in ("kind", "host", "port", "samples", "tolerance", "startup", "drain")
    }
    return EndpointSpec(name=name, env=_merged(endpoint.env), secrets=endpoint.secrets or (), **plain)
