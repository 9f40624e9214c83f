"""A rollout ends with the new revision verified and serving, or with the old one serving and the new one gone."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shipway.delivery.rollout import Check, check_for, previous, roll_back, roll_out, undeploy
from shipway.delivery.samples import read_samples
from shipway.errors import NotFoundError, RolloutError, UnavailableError, VerificationError
from shipway.pipeline.retry import Clock
from shipway.specs.releases import Release, RevisionState
from shipway.testing.endpoint_conformance import answering, ask, revision, serve, stand_in_release
from shipway.testing.fake_endpoint import FakeEndpoint, FakePlace


@pytest.fixture
def place() -> Iterator[FakePlace]:
    place = FakePlace()
    yield place
    place.close()


@pytest.fixture
def endpoint(place: FakePlace) -> FakeEndpoint:
    return FakeEndpoint("here", place)


def expecting(add: float) -> Check:
    content = {"instances": [[1.0, 2.0]], "predictions": [3.0 + add]}
    return Check(samples=read_samples(json.dumps(content).encode(), "samples.json"))


def release(tmp_path: Path, name: str, add: float, **fields: Any) -> Release:
    """With samples that it agrees with."""
    model = {"add": add, **({"mode": fields.pop("mode")} if "mode" in fields else {})}
    made = stand_in_release(tmp_path / name, name, model, **fields)
    samples = {"instances": [[1.0, 2.0]], "predictions": [3.0 + add]}
    (Path(made.bundle) / "samples.json").write_text(json.dumps(samples))
    return made


class Turncoat(FakeEndpoint):
    """Its revisions answer otherwise once they have the public address."""

    def shift(self, revision: str, percent: int) -> None:
        super().shift(revision, percent)
        self.place.revisions[revision].stand_in.model["add"] += 100


def test_a_rollout_passes_every_step_and_serves(endpoint: FakeEndpoint, tmp_path: Path) -> None:
    steps: list[str] = []
    after = roll_out(endpoint, release(tmp_path, "v1", 1), expecting(1), steps.append)
    assert steps == [f"rollout:{step}" for step in ("applied", "ready", "verified", "shifted", "confirmed")]
    assert after.serving is not None
    assert after.serving.name == "v1"
    assert after.url is not None
    assert ask(after.url, 1, 2) == 4


def test_a_rollout_that_is_repeated_changes_nothing(endpoint: FakeEndpoint, tmp_path: Path) -> None:
    one = release(tmp_path, "v1", 1)
    assert roll_out(endpoint, one, expecting(1)) == roll_out(endpoint, one, expecting(1))


def test_without_samples_the_revision_s_name_is_all_that_is_checked(endpoint: FakeEndpoint, tmp_path: Path) -> None:
    assert roll_out(endpoint, release(tmp_path, "v1", 1), Check()).serving is not None


def test_a_revision_that_answers_otherwise_never_takes_traffic_and_goes(endpoint: FakeEndpoint, tmp_path: Path) -> None:
    url = roll_out(endpoint, release(tmp_path, "v1", 1), expecting(1)).url
    steps: list[str] = []
    with pytest.raises(VerificationError, match="row 0: expected 103"):
        roll_out(endpoint, release(tmp_path, "v2", 2), expecting(100), steps.append)
    assert "rollout:shifted" not in steps
    assert url is not None
    assert answering(url) == "v1"
    assert [rev.name for rev in endpoint.rollout().revisions] == ["v1"]


def test_a_revision_that_does_not_come_up_goes_and_its_reason_is_told(endpoint: FakeEndpoint, tmp_path: Path) -> None:
    roll_out(endpoint, release(tmp_path, "v1", 1), expecting(1))
    with pytest.raises(RolloutError, match="v2 did not come up: the model does not load"):
        roll_out(endpoint, release(tmp_path, "v2", 2, mode="exit"), expecting(2))
    assert [rev.name for rev in endpoint.rollout().revisions] == ["v1"]


def test_a_first_revision_that_fails_leaves_nothing(endpoint: FakeEndpoint, tmp_path: Path) -> None:
    with pytest.raises(VerificationError):
        roll_out(endpoint, release(tmp_path, "v1", 1), expecting(100))
    assert endpoint.rollout().revisions == ()


def test_an_endpoint_that_never_says_ready_is_given_up_at_the_deadline(endpoint: FakeEndpoint, tmp_path: Path) -> None:
    now = [0.0]
    clock = Clock(now=lambda: now[0], sleep=lambda seconds: now.__setitem__(0, now[0] + seconds))
    with pytest.raises(RolloutError, match="v1 is still starting"):
        roll_out(endpoint, release(tmp_path, "v1", 1, mode="hang"), Check(), clock=clock)
    assert endpoint.rollout().revisions == ()


def test_a_revision_that_fails_in_public_gives_way_to_the_one_before(place: FakePlace, tmp_path: Path) -> None:
    honest = FakeEndpoint("here", place)
    url = roll_out(honest, release(tmp_path, "v1", 1), expecting(1)).url
    with pytest.raises(VerificationError):
        roll_out(Turncoat("here", place), release(tmp_path, "v2", 2), expecting(2))
    assert url is not None
    assert answering(url) == "v1"
    assert revision(honest, "v2") is None


def test_a_first_revision_that_fails_in_public_serves_no_more(place: FakePlace, tmp_path: Path) -> None:
    with pytest.raises(VerificationError):
        roll_out(Turncoat("here", place), release(tmp_path, "v1", 1), expecting(1))
    assert FakeEndpoint("here", place).rollout().revisions == ()


def test_after_a_driver_s_death_past_the_shift_a_failure_still_leads_back(place: FakePlace, tmp_path: Path) -> None:
    endpoint = FakeEndpoint("here", place)
    url = roll_out(endpoint, release(tmp_path, "v1", 1), expecting(1)).url
    second = release(tmp_path, "v2", 2)
    serve(endpoint, second)  # as far as the driver came
    with pytest.raises(VerificationError):
        roll_out(endpoint, second, expecting(100))
    assert url is not None
    assert answering(url) == "v1"


def test_what_served_all_along_stays_when_there_is_nothing_to_go_back_to(
    endpoint: FakeEndpoint, tmp_path: Path
) -> None:
    one = release(tmp_path, "v1", 1)
    url = roll_out(endpoint, one, expecting(1)).url
    with pytest.raises(VerificationError):
        roll_out(endpoint, one, expecting(100))
    assert url is not None
    assert answering(url) == "v1"


def test_what_served_all_along_is_not_replaced_because_a_call_got_lost(place: FakePlace, tmp_path: Path) -> None:
    class Deaf(FakeEndpoint):
        def apply(self, release: Release) -> None:
            raise UnavailableError("no answer")

    endpoint = FakeEndpoint("here", place)
    roll_out(endpoint, release(tmp_path, "v1", 1), expecting(1))
    two = release(tmp_path, "v2", 2)
    roll_out(endpoint, two, expecting(2))
    with pytest.raises(UnavailableError):
        roll_out(Deaf("here", place), two, expecting(2))
    assert endpoint.rollout().serving is not None
    assert [rev.state for rev in endpoint.rollout().revisions] == [RevisionState.SERVING, RevisionState.ENDED]


def test_an_interrupted_rollout_leaves_what_served(endpoint: FakeEndpoint, tmp_path: Path) -> None:
    def interrupt(step: str) -> None:
        if step == "rollout:shifted":
            raise KeyboardInterrupt

    url = roll_out(endpoint, release(tmp_path, "v1", 1), expecting(1)).url
    with pytest.raises(KeyboardInterrupt):
        roll_out(endpoint, release(tmp_path, "v2", 2), expecting(2), interrupt)
    assert url is not None
    assert answering(url) == "v1"
    assert [rev.name for rev in endpoint.rollout().revisions] == ["v1"]


def test_when_the_way_back_fails_both_failures_are_told(place: FakePlace, tmp_path: Path) -> None:
    class Stuck(Turncoat):
        def release(self, revision: str) -> Release:
            raise UnavailableError("the disk is gone")

    roll_out(FakeEndpoint("here", place), release(tmp_path, "v1", 1), expecting(1))
    with pytest.raises(
        RolloutError, match=r"v2 failed, and v1, .* could not be brought back: the disk is gone"
    ) as caught:
        roll_out(Stuck("here", place), release(tmp_path, "v2", 2), expecting(2))
    assert isinstance(caught.value.__cause__, UnavailableError)


# Back by hand


def test_rolling_back_serves_the_revision_before_and_keeps_the_other(endpoint: FakeEndpoint, tmp_path: Path) -> None:
    for number in (1, 2, 3):
        roll_out(endpoint, release(tmp_path, f"v{number}", number), expecting(number))
    assert roll_back(endpoint, None, 1e-6).serving.name == "v2"  # type: ignore[union-attr]
    assert roll_back(endpoint, None, 1e-6).serving.name == "v1"  # type: ignore[union-attr]
    with pytest.raises(NotFoundError, match="no revision before v1") as caught:
        roll_back(endpoint, None, 1e-6)
    assert caught.value.hint == "name one of: v3 (ended), v2 (ended)"
    assert roll_back(endpoint, "v3", 1e-6).serving.name == "v3"  # type: ignore[union-attr]


def test_rolling_back_verifies_with_the_revision_s_own_samples(endpoint: FakeEndpoint, tmp_path: Path) -> None:
    first = release(tmp_path, "v1", 1)
    roll_out(endpoint, first, check_for(first, 1e-6))
    url = roll_out(endpoint, release(tmp_path, "v2", 2), expecting(2)).url
    (Path(first.bundle) / "model.json").write_text('{"add": 7}')
    with pytest.raises(VerificationError):
        roll_back(endpoint, "v1", 1e-6)
    assert url is not None
    assert answering(url) == "v2"


def test_rolling_back_to_nothing_is_an_error(endpoint: FakeEndpoint, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="serves nothing") as caught:
        roll_back(endpoint, None, 1e-6)
    assert caught.value.hint == "there is no other; `shipway ship` rolls one out"
    with pytest.raises(NotFoundError):
        roll_back(endpoint, "v9", 1e-6)


def test_a_failed_revision_is_not_the_one_before(endpoint: FakeEndpoint, tmp_path: Path) -> None:
    roll_out(endpoint, release(tmp_path, "v1", 1), Check())
    endpoint.apply(release(tmp_path, "v2", 2, mode="exit"))
    serve(endpoint, release(tmp_path, "v3", 3))
    before = previous(endpoint.rollout(), "v3")
    assert before is not None
    assert before.name == "v1"


def test_undeploying_ends_it_all_and_may_be_repeated(endpoint: FakeEndpoint, tmp_path: Path) -> None:
    roll_out(endpoint, release(tmp_path, "v1", 1), Check())
    undeploy(endpoint)
    undeploy(endpoint)
    assert endpoint.rollout().revisions == ()
