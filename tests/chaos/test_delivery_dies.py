"""
The driver is killed with SIGKILL at every named point of the delivery and started again: one model version for each tree, one revision serves,
what served before was never gone, and no process is left once the endpoint is removed.
"""

import http.client
import itertools
import json
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from shipway.app import models
from shipway.app.opened import Opened
from shipway.specs.models import CHAMPION
from shipway.specs.releases import RevisionState
from shipway.specs.runs import RunState

pytestmark = pytest.mark.slow

POINTS = [
    "gate:made",
    "gate:recorded",
    "register:made",
    "register:recorded",
    "packed",
    "rollout:applied",
    "rollout:ready",
    "rollout:verified",
    "rollout:shifted",
    "rollout:confirmed",
    "rollout here:made",
    "rollout here:recorded",
    "champion:made",
    "champion:recorded",
]


def slope(number: int) -> str:
    """Each better than the one before."""
    return f"train.slope={1 + number / 100}"


@pytest.mark.parametrize("point", POINTS)
def test_a_first_ship_that_died_is_brought_to_its_end(
    point: str, shipway: Any, make_harbour: Callable[..., Path], tmp_path: Path
) -> None:
    harbour = make_harbour(tmp_path / "harbour")
    died = shipway(harbour, "ship", SHIPWAY_CRASH_AT=point)
    assert died.returncode == -signal.SIGKILL, died.stderr
    again = shipway(harbour, "ship", "--json")
    assert again.returncode == 0, again.stderr
    opened = Opened(harbour)
    assert [run.state for run in opened.journal.list()] == [RunState.SUCCEEDED]
    assert [(version.version, version.aliases) for version in models.versions(opened)] == [
        ("1", ("challenger", "champion"))
    ]
    assert served(opened) == ["1"]
    assert shipway(harbour, "endpoints", "--remove", "here").returncode == 0
    assert shipway.strays(harbour) == {}


@pytest.fixture(scope="module")
def busy(shipway: Any, make_harbour: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A project whose champion serves; the tests of one process ship to it one after another."""
    harbour = make_harbour(tmp_path_factory.mktemp("busy") / "harbour")
    assert shipway(harbour, "ship", "--set", slope(0)).returncode == 0
    yield harbour
    assert shipway(harbour, "endpoints", "--remove", "here").returncode == 0
    assert shipway.strays(harbour) == {}


numbers = itertools.count(1)


@pytest.mark.parametrize("point", POINTS)
def test_a_ship_that_died_beside_a_champion_is_brought_to_its_end_and_nobody_notices(
    point: str, busy: Path, shipway: Any
) -> None:
    number = next(numbers)
    before = models.versions(Opened(busy))
    with asking(busy) as wrong:
        died = shipway(busy, "ship", "--set", slope(number), SHIPWAY_CRASH_AT=point)
        assert died.returncode == -signal.SIGKILL, died.stderr
        again = shipway(busy, "ship", "--set", slope(number))
        assert again.returncode == 0, again.stderr
    assert wrong == []
    opened = Opened(busy)
    assert opened.journal.list(states=[RunState.RUNNING]) == []
    after = models.versions(opened)
    assert len(after) == len(before) + 1
    assert [version.tree for version in after[1:]] == [version.tree for version in before]
    assert after[0].aliases == ("challenger", "champion")
    assert served(opened) == [after[0].version]
    assert models.versions(opened)[0] == opened.tracking[1].resolve("line", CHAMPION)


def test_a_driver_that_dies_at_each_point_in_turn_still_ends_once(busy: Path, shipway: Any) -> None:
    number = next(numbers)
    before = models.versions(Opened(busy))
    with asking(busy) as wrong:
        for point in POINTS:
            died = shipway(busy, "ship", "--set", slope(number), SHIPWAY_CRASH_AT=point)
            assert died.returncode in (-signal.SIGKILL, 0), died.stderr
        assert shipway(busy, "ship", "--set", slope(number)).returncode == 0
    assert wrong == []
    opened = Opened(busy)
    assert len(models.versions(opened)) == len(before) + 1
    assert len(served(opened)) == 1


def test_a_ship_that_is_taken_up_late_does_not_become_champion_over_what_serves_by_then(
    shipway: Any, make_harbour: Callable[..., Path], tmp_path: Path
) -> None:
    harbour = make_harbour(tmp_path / "harbour")
    died = shipway(harbour, "ship", "--set", slope(1), SHIPWAY_CRASH_AT="rollout here:recorded")
    assert died.returncode == -signal.SIGKILL, died.stderr
    other = shipway(harbour, "ship", "--set", slope(2))  # nor does it wait for the turn of the dead
    assert other.returncode == 0, other.stderr
    late = shipway(harbour, "resume")
    assert late.returncode == 0, late.stderr
    opened = Opened(harbour)
    assert [run.state for run in opened.journal.list()] == [RunState.SUCCEEDED] * 2
    champion = opened.tracking[1].resolve("line", CHAMPION)
    assert champion is not None
    assert served(opened) == [champion.version] == ["2"]
    assert shipway(harbour, "endpoints", "--remove", "here").returncode == 0
    assert shipway.strays(harbour) == {}


def served(opened: Opened) -> list[str]:
    """The versions of the revisions that take traffic."""
    rollout = opened.endpoint(opened.project.endpoints[0]).rollout()
    taking = [rev for rev in rollout.revisions if rev.percent or rev.state is RevisionState.SERVING]
    return [rev.version for rev in taking]


@contextmanager
def asking(harbour: Path) -> Iterator[list[str]]:
    """Ask the endpoint all the time, from two sides; yields the list of what went wrong."""
    wrong: list[str] = []
    stop = threading.Event()
    port = Opened(harbour).project.endpoints[0].port
    threads = [threading.Thread(target=_ask, args=(port, wrong, stop, kept)) for kept in (True, False)]
    for thread in threads:
        thread.start()
    try:
        yield wrong
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def _ask(port: int, wrong: list[str], stop: threading.Event, kept_alive: bool) -> None:
    """While one revision takes over from another either may answer, but each only as its own model does: 2 to 3 for an input of 2."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    answers: dict[str | None, float] = {}
    while not stop.wait(0.002):
        try:
            connection.request("POST", "/v1/models/line:predict", json.dumps({"instances": [[2.0]]}))
            response = connection.getresponse()
            content = response.read()
            if response.status == 200:
                revision, (answer,) = response.getheader("x-shipway-revision"), json.loads(content)["predictions"]
                if revision is None or not answers.setdefault(revision, answer) == answer < 3:
                    wrong.append(f"{answer} by {revision}")
            else:
                wrong.append(f"{response.status} {content!r}")
        except (OSError, http.client.HTTPException) as error:
            wrong.append(repr(error))
            connection.close()
        if not kept_alive:
            connection.close()
    connection.close()
