"""The whole way from files to a served model and back, as a user types it; tracking is off."""

import csv
import json
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from shipway.app import models
from shipway.app.opened import Opened
from shipway.specs.runs import RunState

pytestmark = pytest.mark.slow


@pytest.fixture
def harbour(shipway: Any, make_harbour: Callable[..., Path], tmp_path: Path) -> Iterator[Path]:
    """The project `tests/harbour`; nothing of it may be left running once its endpoint is removed."""
    root = make_harbour(tmp_path / "harbour")
    yield root
    assert shipway(root, "endpoints", "--remove", "here").returncode == 0
    assert shipway.strays(root) == {}


def ship(shipway: Any, harbour: Path, slope: float | None = None, code: int = 0) -> Any:
    words = () if slope is None else ("--set", f"train.slope={slope}")
    done = shipway(harbour, "ship", *words)
    assert done.returncode == code, done.stderr
    return done


def answer(shipway: Any, harbour: Path, name: str = "x.json") -> list[float]:
    """What the endpoint says to 1 and 2."""
    (harbour / "x.json").write_text("[[1.0], [2.0]]")
    with (harbour / "x.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["x"], [1.0], [2.0]])
    done = shipway(harbour, "predict", "-f", name, "--json")
    assert done.returncode == 0, done.stderr
    return list(json.loads(done.stdout)["predictions"])


def standing(harbour: Path) -> tuple[str | None, str | None]:
    """The versions that serve and that the registry calls champion."""
    opened = Opened(harbour)
    serving = opened.endpoint(opened.project.endpoints[0]).rollout().serving
    champion = opened.tracking[1].resolve("line", "champion")
    return serving and serving.version, champion and champion.version


def test_a_model_is_shipped_judged_replaced_and_rolled_back(shipway: Any, harbour: Path) -> None:
    said = ship(shipway, harbour).stderr
    assert "first model" in said
    assert "answers verified against the offline predictions" in said
    assert standing(harbour) == ("1", "1")
    assert answer(shipway, harbour, "x.json") == [1.0, 2.0]
    assert answer(shipway, harbour, "x.csv") == [1.0, 2.0]

    worse = ship(shipway, harbour, slope=0.6, code=3)
    assert "gate: held against champion 1" in worse.stderr
    assert Opened(harbour).journal.list()[0].state is RunState.HELD
    assert "gate: held" in shipway(harbour, "show").stdout
    assert standing(harbour) == ("1", "1")
    assert answer(shipway, harbour) == [1.0, 2.0]
    assert len(models.versions(Opened(harbour))) == 1

    with (harbour / "data" / "x.csv").open("a") as file:
        file.write("5\n")  # on today's data the champion has to be judged anew
    ship(shipway, harbour, slope=2.5)
    journal = Opened(harbour).journal
    jobs = [job.stage for job in journal.jobs(run=journal.list()[0].id) if job.run == journal.list()[0].id]
    assert sorted(jobs) == ["evaluate", "evaluate@champion", "train"]
    assert standing(harbour) == ("2", "2")
    assert answer(shipway, harbour) == [2.5, 5.0]

    back = shipway(harbour, "rollback", "here")
    assert back.returncode == 0, back.stderr
    assert standing(harbour) == ("1", "1")
    assert answer(shipway, harbour) == [1.0, 2.0]


def test_shipping_the_same_again_computes_nothing_and_registers_nothing(shipway: Any, harbour: Path) -> None:
    ship(shipway, harbour)
    opened = Opened(harbour)
    endpoint = opened.endpoint(opened.project.endpoints[0])
    before = endpoint.rollout().serving
    report = json.loads(shipway(harbour, "ship", "--json").stdout)
    assert {row["state"] for row in report["stages"]} == {"cached"}
    after = endpoint.rollout().serving
    assert (before and before.pid) == (after and after.pid)
    assert len(models.versions(opened)) == 1


def test_samples_that_lie_take_the_new_model_back_and_change_nothing(shipway: Any, harbour: Path) -> None:
    ship(shipway, harbour)
    file = harbour / "shipway.yaml"
    file.write_text(file.read_text().replace("drain: 1s", "drain: 1s, samples: mine.json"))
    (harbour / "mine.json").write_text(json.dumps({"instances": [[1.0], [2.0]], "predictions": [2.0, 5.0]}))
    done = ship(shipway, harbour, slope=2.0, code=1)
    assert "1 of 2 predictions differ" in done.stderr
    assert "row 1: expected 5.0, got 4.0" in done.stderr
    assert "Traceback" not in done.stderr
    assert standing(harbour) == ("1", "1")
    assert answer(shipway, harbour) == [1.0, 2.0]
    shown = shipway(harbour, "show").stdout
    assert "failed" in shown
    assert "row 1: expected 5.0, got 4.0" in shown
    opened = Opened(harbour)
    kept = [rev.version for rev in opened.endpoint(opened.project.endpoints[0]).rollout().revisions]
    assert kept == ["1"]


def test_a_first_model_whose_samples_lie_leaves_nothing_that_serves(shipway: Any, harbour: Path) -> None:
    file = harbour / "shipway.yaml"
    file.write_text(file.read_text().replace("drain: 1s", "drain: 1s, samples: mine.json"))
    (harbour / "mine.json").write_text(json.dumps({"instances": [[1.0]], "predictions": [7.0]}))
    ship(shipway, harbour, code=1)
    assert standing(harbour) == (None, None)
    assert shipway(harbour, "predict", "-f", "mine.json").returncode == 2


def test_a_model_that_does_not_come_up_takes_nothing_down(shipway: Any, harbour: Path) -> None:
    ship(shipway, harbour)
    with (harbour / "predict.py").open("a") as file:
        file.write("\n\nraise RuntimeError('no weights')\n")
    done = ship(shipway, harbour, slope=2.0, code=1)
    assert "v2-" in done.stderr
    assert "no weights" in done.stderr
    assert standing(harbour) == ("1", "1")
    assert answer(shipway, harbour) == [1.0, 2.0]


def test_a_port_that_is_taken_is_named_before_anything_runs(shipway: Any, harbour: Path) -> None:
    port = Opened(harbour).project.endpoints[0].port
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        done = ship(shipway, harbour, code=1)
        checked = shipway(harbour, "check")
    told = f"port {port} on 127.0.0.1 is in use by another program"
    assert told in done.stderr
    assert "hint: end the program" in done.stderr
    assert (told in checked.stdout, checked.returncode) == (True, 2)
    assert Opened(harbour).journal.list() == []
    assert standing(harbour) == (None, None)
    ship(shipway, harbour)
    assert standing(harbour) == ("1", "1")


def test_only_the_endpoint_that_is_named_gets_the_model_and_the_champion_stays(
    shipway: Any, make_harbour: Callable[..., Path], tmp_path: Path
) -> None:
    harbour = make_harbour(tmp_path / "two")
    first = Opened(harbour).project.endpoints[0].port
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        second = probe.getsockname()[1]
    text = (harbour / "shipway.yaml").read_text().rpartition("endpoints:")[0]
    text += f"endpoints: {{here: {{port: {first}, drain: 1s}}, there: {{port: {second}, drain: 1s}}}}\n"
    (harbour / "shipway.yaml").write_text(text)
    done = shipway(harbour, "ship", "--to", "there")
    assert done.returncode == 0, done.stderr
    opened = Opened(harbour)
    serving = {spec.name: opened.endpoint(spec).rollout().serving for spec in opened.project.endpoints}
    assert [name for name, revision in serving.items() if revision is not None] == ["there"]
    assert opened.tracking[1].resolve("line", "champion") is None
    for name in ("here", "there"):
        assert shipway(harbour, "endpoints", "--remove", name).returncode == 0
    assert shipway.strays(harbour) == {}


def test_a_ship_that_is_cancelled_while_its_model_starts_takes_it_back(shipway: Any, harbour: Path) -> None:
    ship(shipway, harbour)
    with (harbour / "predict.py").open("a") as file:
        file.write("\n\nimport time\ntime.sleep(2)\n")
    driver = shipway.start(harbour, "ship", "--set", "train.slope=2.0")
    endpoint = Opened(harbour).endpoint(Opened(harbour).project.endpoints[0])
    deadline = time.monotonic() + 30
    while not any(revision.version == "2" for revision in endpoint.rollout().revisions):
        assert time.monotonic() < deadline, "the new revision never began"
        time.sleep(0.02)
    assert shipway(harbour, "cancel").returncode == 0
    driver.communicate(timeout=60)
    assert driver.returncode == 130
    assert Opened(harbour).journal.list()[0].state is RunState.CANCELLED
    assert standing(harbour) == ("1", "1")
    assert [revision.version for revision in endpoint.rollout().revisions] == ["1"]
