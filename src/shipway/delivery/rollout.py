"""
Rolling out: apply → ready → verified at its own address → shift → verified at the public one; on any failure back to what served.

Each step may be repeated, so a driver that died is replaced by calling `roll_out` with the same release again. The caller holds the lease
`endpoint/<project>/<name>`.
"""

import time
from collections.abc import Callable, Mapping

import msgspec

from shipway.delivery.pack import samples_of
from shipway.delivery.samples import Samples, read_samples
from shipway.delivery.verify import check_revision, verify
from shipway.endpoints.base import Endpoint
from shipway.errors import NotFoundError, RolloutError, ShipwayError, UnavailableError
from shipway.pipeline.retry import Clock
from shipway.specs.releases import Release, Revision, RevisionState, Rollout

POLL_SECONDS = 0.05
SLACK_SECONDS = 30.0
UP = (RevisionState.READY, RevisionState.SERVING)


REAL = Clock(now=time.time, sleep=time.sleep)


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """What verification sends and how near the answers must be; without samples only the revision's name is checked."""

    samples: Samples | None = None
    tolerance: float = 1e-6


def check_for(release: Release, tolerance: float) -> Check:
    """With the samples that the release itself carries."""
    data = samples_of(release)
    samples = None if data is None else read_samples(data, f"samples of {release.revision}")
    return Check(samples=samples, tolerance=tolerance)


def _nothing(name: str) -> None:
    pass


def roll_out(
    endpoint: Endpoint,
    release: Release,
    check: Check,
    at: Callable[[str], None] = _nothing,
    clock: Clock = REAL,
) -> Rollout:
    """
    Make `release` the one that serves. `at` hears the name of each step that is done ("rollout:applied", …).

    Raises RolloutError or VerificationError; what served before serves then, and the new revision is gone.
    """
    old = holder(endpoint.rollout())
    try:
        return _forward(endpoint, release, check, at, clock)
    except (ShipwayError, KeyboardInterrupt) as error:
        if isinstance(error, UnavailableError) and old is not None and old.name == release.revision:
            raise  # it served before we came, and nothing was found wrong with it
        _try_back(endpoint, release, old, clock)
        if isinstance(error, RolloutError | KeyboardInterrupt):
            raise
        message = f"endpoint {release.endpoint}: {release.revision} was not rolled out: {error.message}"
        raise RolloutError(message, hint=error.hint) from error


def _forward(endpoint: Endpoint, release: Release, check: Check, at: Callable[[str], None], clock: Clock) -> Rollout:
    endpoint.apply(release)
    at("rollout:applied")
    ready = wait_ready(endpoint, release, clock)
    at("rollout:ready")
    if ready.url is not None:
        _verify(ready.url, release, check)
    at("rollout:verified")
    endpoint.shift(release.revision, 100)
    at("rollout:shifted")
    after = endpoint.rollout()
    if after.url is None:
        raise RolloutError(f"endpoint {release.endpoint} has no public URL after {release.revision} took over")
    _verify(after.url, release, check)
    at("rollout:confirmed")
    return after


def wait_ready(endpoint: Endpoint, release: Release, clock: Clock = REAL) -> Revision:
    """Return the revision once it answers at its own address. Raises RolloutError with the reason where it fails or takes too long."""
    deadline = clock.now() + release.startup.total_seconds() + SLACK_SECONDS
    while True:
        revision = find(endpoint.rollout(), release.revision)
        if revision is None:
            raise RolloutError(f"endpoint {release.endpoint}: {release.revision} is gone")
        if revision.state in UP:
            return revision
        if revision.state in (RevisionState.FAILED, RevisionState.ENDED):
            raise RolloutError(
                f"endpoint {release.endpoint}: {release.revision} did not come up: {revision.reason or revision.state}"
            )
        if clock.now() > deadline:
            raise RolloutError(
                f"endpoint {release.endpoint}: {release.revision} is still {revision.state}, although its time is over"
            )
        clock.sleep(POLL_SECONDS)


def _verify(url: str, release: Release, check: Check) -> None:
    check_revision(url, release.revision)
    if check.samples is not None:
        verify(url, release.model.name, check.samples, check.tolerance)


# Back


def _try_back(endpoint: Endpoint, release: Release, old: Revision | None, clock: Clock) -> None:
    try:
        _back(endpoint, release, old, clock)
    except ShipwayError as error:
        served = "nothing" if old is None else old.name
        message = f"endpoint {release.endpoint}: {release.revision} failed, and {served}, which served before, could not be brought back"
        raise RolloutError(f"{message}: {error.message}", hint=error.hint) from error


def _back(endpoint: Endpoint, release: Release, old: Revision | None, clock: Clock) -> None:
    """Bring back what served and take away the new; without an old one there is nothing that may serve."""
    now = endpoint.rollout()
    new = find(now, release.revision)
    if new is None:
        return
    if new.percent == 0:
        endpoint.remove(release.revision)
        return
    if old is None:
        endpoint.remove()
        return
    if old.name == release.revision:
        # It served before we came, or a driver died after it had taken over: the one before it is the last that is known to be good.
        old = previous(now, release.revision)
        if old is None:
            return
    _take_over(endpoint, endpoint.release(old.name), release.secrets, clock)
    endpoint.remove(release.revision)


def _take_over(endpoint: Endpoint, release: Release, secrets: Mapping[str, str], clock: Clock) -> None:
    endpoint.apply(with_secrets(release, secrets))
    wait_ready(endpoint, release, clock)
    endpoint.shift(release.revision, 100)


def with_secrets(release: Release, secrets: Mapping[str, str]) -> Release:
    """Fill in the values; a name without one is left empty, and the far side uses the one that it still knows."""
    return msgspec.structs.replace(
        release, secrets={name: secrets.get(name) or value for name, value in release.secrets.items()}
    )


def roll_back(
    endpoint: Endpoint, revision: str | None, tolerance: float, secrets: Mapping[str, str] = {}, clock: Clock = REAL
) -> Rollout:
    """
    Roll out a kept revision again: the named one, or the one before what serves; verified by its own samples, if it has any.

    Raises NotFoundError where there is none to go back to.
    """
    now = endpoint.rollout()
    serving = holder(now)
    if revision is None:
        if serving is None:
            raise NotFoundError(
                f"endpoint {now.endpoint} serves nothing, so there is no revision before", hint=_others(now, None)
            )
        back = previous(now, serving.name)
        if back is None:
            raise NotFoundError(
                f"endpoint {now.endpoint} has no revision before {serving.name}", hint=_others(now, serving)
            )
        revision = back.name
    release = with_secrets(endpoint.release(revision), secrets)
    return roll_out(endpoint, release, check_for(release, tolerance), clock=clock)


def _others(rollout: Rollout, serving: Revision | None) -> str:
    """What one could go back to by name; one that failed may do better now."""
    others = [f"{rev.name} ({rev.state})" for rev in rollout.revisions if serving is None or rev.name != serving.name]
    return f"name one of: {', '.join(others)}" if others else "there is no other; `shipway ship` rolls one out"


def undeploy(endpoint: Endpoint) -> None:
    """End and forget the endpoint with all its revisions. Repeatable."""
    endpoint.remove()


# Looking


def holder(rollout: Rollout) -> Revision | None:
    """The revision that the public URL belongs to, also while it is being healed."""
    return rollout.serving or next((rev for rev in rollout.revisions if rev.percent == 100), None)


def find(rollout: Rollout, revision: str) -> Revision | None:
    return next((rev for rev in rollout.revisions if rev.name == revision), None)


def previous(rollout: Rollout, revision: str) -> Revision | None:
    """The newest kept revision that is older than this one and did not fail."""
    names = [rev.name for rev in rollout.revisions]
    older = rollout.revisions[names.index(revision) + 1 :] if revision in names else ()
    return next((rev for rev in older if rev.state is not RevisionState.FAILED), None)
