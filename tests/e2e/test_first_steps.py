"""What a newcomer does first: `init` in a project that knows nothing of Shipway, and the demo."""

import json
import subprocess
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from shipway.app.opened import Opened
from shipway.specs.runs import RunState

PREPARE = """
import csv
import pathlib

rows = list(csv.reader(open("data/rows.csv")))
pathlib.Path("data/prepared").mkdir(parents=True, exist_ok=True)
pathlib.Path("data/prepared/sum.txt").write_text(str(sum(int(row[0]) for row in rows)))
"""
TRAIN = """
import pathlib

total = pathlib.Path("data/prepared/sum.txt").read_text()
pathlib.Path("model").mkdir(exist_ok=True)
pathlib.Path("model/model.pkl").write_text(total)
"""
EVALUATE = """
import json
import pathlib

value = int(pathlib.Path("model/model.pkl").read_text())
json.dump({"value": value}, open("metrics.json", "w"))
"""


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """Three scripts and a file of data, in a git repository."""
    root = tmp_path / "plain"
    (root / "data").mkdir(parents=True)
    (root / "data" / "rows.csv").write_text("1\n2\n3\n")
    for name, text in (("prepare", PREPARE), ("train", TRAIN), ("evaluate", EVALUATE)):
        (root / f"{name}.py").write_text(text)
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    return root


def test_a_plain_project_is_begun_checked_and_run(shipway: Any, plain: Path) -> None:
    begun = shipway(plain, "init")
    assert begun.returncode == 0, begun.stderr
    file = plain / "shipway.yaml"
    file.write_text(file.read_text() + "\ntracking: off\n")  # MLflow would take most of the time
    assert shipway(plain, "check").returncode == 0
    done = shipway(plain, "run")
    assert done.returncode == 0, done.stderr
    assert json.loads((plain / "metrics.json").read_text()) == {"value": 6}
    assert {row["state"] for row in json.loads(shipway(plain, "run", "--json").stdout)["stages"]} == {"cached"}
    assert shipway(plain, "init").returncode == 2


@pytest.mark.slow
@pytest.mark.lab
def test_the_demo_ships_answers_and_computes_nothing_twice(shipway: Any, tmp_path: Path) -> None:
    _need_registry()
    demo = tmp_path / "demo"
    try:
        first = shipway(tmp_path, "demo", str(demo), "--json")
        assert first.returncode == 0, first.stderr
        said = json.loads(first.stdout)
        assert {row["name"]: row["state"] for row in said["report"]["stages"]} == {
            "pictures": "succeeded",
            "prepare": "succeeded",
            "train": "succeeded",
            "evaluate": "succeeded",
        }
        assert said["answer"]["predictions"] == [7]
        with urllib.request.urlopen(said["url"], timeout=10) as page:
            assert page.status == 200
        again = shipway(tmp_path, "demo", str(demo))
        assert again.returncode == 0, again.stderr
        assert "4 of 4 stages came from the store" in again.stdout
        assert [run.state for run in Opened(demo).journal.list()] == [RunState.SUCCEEDED] * 2
        assert "+dirty" not in json.loads(shipway(demo, "models", "--json").stdout)[0]["triple"]["code"]
        assert shipway(demo, "endpoints", "--remove", "local").returncode == 0
        assert shipway.strays(demo) == {}
        with pytest.raises(urllib.error.URLError):
            urllib.request.urlopen(said["url"], timeout=10)
    finally:
        shipway.end(demo)


def _need_registry() -> None:
    """Skip where packages cannot be had."""
    import os
    import sys

    asked = [sys.executable, "-m", "uv", "pip", "compile", "-", "--no-deps", "--no-cache", "-q"]
    done = subprocess.run(asked, input="joblib==1.6.0\n", capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        if os.environ.get("CI") == "true":
            pytest.fail(done.stderr)
        pytest.skip("the package registry cannot be reached")
