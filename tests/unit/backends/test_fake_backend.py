"""The fake misbehaves as it is told."""

from collections.abc import Iterator

import pytest

from shipway.errors import UnavailableError
from shipway.specs.jobs import Failure, JobState
from shipway.testing.fake_backend import FakeBackend, FarSide

from .conftest import Bench


@pytest.fixture
def fake(bench: Bench) -> Iterator[FakeBackend]:
    fake = FakeBackend(bench.root / "fake", bench.store, bench.views)
    yield fake
    fake.far.close()


def test_it_answers_unknown_so_many_times(fake: FakeBackend, bench: Bench) -> None:
    handle = fake.submit(bench.job("sleep 60"))
    fake.far.unknown = 2
    assert [fake.status([handle])[handle].state for _ in range(3)] == [JobState.UNKNOWN] * 2 + [JobState.RUNNING]


def test_it_is_away_for_so_many_calls(fake: FakeBackend, bench: Bench) -> None:
    fake.far.unavailable = 2
    for _ in range(2):
        with pytest.raises(UnavailableError):
            fake.submit(bench.job("true"))
    fake.submit(bench.job("true"))
    assert fake.far.started == ["t-1"]


def test_it_loses_a_job(fake: FakeBackend, bench: Bench) -> None:
    handle = fake.submit(bench.job("sleep 60"))
    fake.far.lose("t-1")
    status = fake.status([handle])[handle]
    assert (status.state, status.failure, status.exit_code) == (JobState.FAILED, Failure.LOST, None)


def test_it_forgets_a_job(fake: FakeBackend, bench: Bench) -> None:
    handle = fake.submit(bench.job("sleep 60"))
    fake.far.forget("t-1")
    assert fake.status([handle])[handle].state is JobState.NOT_FOUND


def test_instances_that_share_a_far_side_see_the_same_jobs(bench: Bench) -> None:
    far = FarSide()
    one, other = (FakeBackend(bench.root / "fake", bench.store, bench.views, far=far) for _ in range(2))
    handle = one.submit(bench.job("sleep 60"))
    assert other.status([handle])[handle].state is JobState.RUNNING
    far.close()
