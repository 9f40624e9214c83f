"""Wires delivery to this project's registry and endpoints."""

import time
from collections.abc import Mapping

from shipway.app.opened import Opened
from shipway.app.origin import triple
from shipway.app.owner import this_process
from shipway.app.tracked import Tracked
from shipway.delivery.ship import Dock, Goods, model_of, ship
from shipway.errors import UsageError
from shipway.pipeline.engine import Engine
from shipway.pipeline.plan import Plan
from shipway.pipeline.retry import Clock
from shipway.pipeline.session import Session
from shipway.specs.models import Outcome
from shipway.specs.runs import RunState
from shipway.specs.stages import Environment, StageResult

SERVING = ("httptools>=0.6", "uvloop>=0.19", "msgspec>=0.19", "numpy>=1.26", "PyYAML>=6")
"""What the server imports; PyYAML reads the description of a model that MLflow has saved."""


def refuse_what_cannot_ship(opened: Opened, planned: Plan, endpoints: tuple[str, ...] | None) -> None:
    """
    Look at what delivery will need, before anything runs.

    Raises UsageError where the plan gives no judged model, NotFoundError for an unknown endpoint, RolloutError where one cannot take a model.
    """
    model = model_of(opened.project)
    needed = {opened.planner.graph.maker[model.path], *(() if model.evaluate is None else (model.evaluate,))}
    if missing := sorted(needed - {planned.stage for planned in planned.stages}):
        hint = "leave --only and --until out, or name with them the stages that a model needs to be shipped"
        raise UsageError(f"nothing can be shipped without stage {', '.join(missing)}", hint=hint)
    named = opened.project.endpoints if endpoints is None else [opened.endpoint_spec(name) for name in endpoints]
    for spec in named:
        opened.endpoint(spec).check()


def deliver(
    opened: Opened, session: Session, engine: Engine, results: Mapping[str, StageResult], tracked: Tracked
) -> None:
    """Ship what a run has made, and end the run as held if the gate says so."""
    project = opened.project
    model = model_of(project)
    maker = opened.planner.graph.maker[model.path]
    made, environment = results[maker], project.stage(maker).environment
    origin = triple(opened, session.run, made)
    tracked.triple(origin)
    dock = Dock(
        project=project,
        store=opened.store,
        journal=opened.journal,
        registry=opened.tracking[1],
        bring=engine.bring,
        endpoint=opened.endpoint,
        python=lambda: serving_python(opened, environment),
        secret=opened.secret,
        tracked=lambda: tracked.id,
        home=opened.home / "endpoints",
        owner=this_process(),
        clock=Clock(now=time.time, sleep=time.sleep),
    )
    named = session.run.request.get("endpoints")
    to = (
        tuple(opened.endpoint_spec(str(name)) for name in named)
        if isinstance(named, list | tuple)
        else project.endpoints
    )
    verdict = ship(dock, session, Goods(results=results, made=made, triple=origin, endpoints=to))
    if verdict.outcome is Outcome.HELD:
        session.finish(RunState.HELD)


def serving_python(opened: Opened, environment: Environment) -> str:
    """An interpreter with the model's packages and those that serving needs; what is missing lies on top, in an environment of its own."""
    base = opened.environments.build(environment).python
    return opened.environments.build(Environment(python=base), SERVING).python
