"""Endpoints of a project: what serves, a prediction, the way back."""

import os
import time
from collections.abc import Sequence

from shipway.app.models import promote
from shipway.app.opened import Opened
from shipway.app.owner import this_process
from shipway.delivery.rollout import roll_back, undeploy
from shipway.delivery.turns import endpoint_turn
from shipway.errors import NotFoundError, UsageError
from shipway.pipeline.retry import Clock
from shipway.specs.releases import Rollout
from shipway.specs.stages import EndpointSpec


def rollouts(opened: Opened) -> Sequence[Rollout]:
    """What every endpoint of the project says of itself."""
    return [opened.endpoint(spec).rollout() for spec in opened.project.endpoints]


def the_endpoint(opened: Opened, name: str | None) -> EndpointSpec:
    """The endpoint with that name; None: the only one. Raises NotFoundError, UsageError."""
    if name is not None:
        return opened.endpoint_spec(name)
    if not opened.project.endpoints:
        raise NotFoundError("this project has no endpoint", hint="add one to shipway.yaml")
    if len(opened.project.endpoints) > 1:
        names = ", ".join(spec.name for spec in opened.project.endpoints)
        raise UsageError("this project has several endpoints", hint=f"name one of: {names}")
    return opened.project.endpoints[0]


def url(opened: Opened, spec: EndpointSpec) -> str:
    """The endpoint's public URL. Raises NotFoundError while nothing serves there."""
    rollout = opened.endpoint(spec).rollout()
    if rollout.url is None or rollout.serving is None:
        raise NotFoundError(f"nothing serves at endpoint {spec.name}", hint="`shipway ship` rolls a model out")
    return rollout.url


def roll_back_to(opened: Opened, name: str, revision: str | None) -> Rollout:
    """
    Let an endpoint serve a kept revision again (None: the one before), verified like any other.

    The champion follows where the project has no other endpoint, since it is the version that serves.
    """
    spec = opened.endpoint_spec(name)
    # A secret that is not set here is not lost: the running endpoint still has it.
    secrets = {secret: os.environ[secret] for secret in spec.secrets if secret in os.environ}
    clock = Clock(now=time.time, sleep=time.sleep)
    with endpoint_turn(opened.journal, this_process(), f"{opened.project.name}/{spec.name}", clock):
        after = roll_back(opened.endpoint(spec), revision, spec.tolerance, secrets)
        if after.serving is not None and len(opened.project.endpoints) == 1:
            promote(opened, after.serving.version)
    return after


def remove(opened: Opened, name: str) -> None:
    """End an endpoint and forget its revisions."""
    spec = opened.endpoint_spec(name)
    clock = Clock(now=time.time, sleep=time.sleep)
    with endpoint_turn(opened.journal, this_process(), f"{opened.project.name}/{spec.name}", clock):
        undeploy(opened.endpoint(spec))
