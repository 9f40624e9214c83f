"""With --json every verb prints one JSON document to standard output and nothing else."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def asked(typed: Any) -> Callable[..., Any]:
    """Returns a function that types a command with --json and decodes what it prints."""

    def ask(project: Path, *words: str, code: int = 0) -> Any:
        said = typed(project, *words, "--json")
        assert said.code == code, said.err
        assert said.err == ""
        return json.loads(said.out)

    return ask


def test_a_plan_and_a_run(asked: Any, tiny: Path) -> None:
    assert [stage["state"] for stage in asked(tiny, "plan")["stages"]] == ["miss", "waits"]
    report = asked(tiny, "run")
    assert report["run"]["state"] == "succeeded"
    assert {row["name"]: row["state"] for row in report["stages"]} == {"one": "succeeded", "two": "succeeded"}
    assert [stage["state"] for stage in asked(tiny, "plan")["stages"]] == ["hit", "hit"]


def test_what_is_known_of_runs(asked: Any, tiny: Path) -> None:
    assert asked(tiny, "runs") == {"runs": [], "reaped": []}
    run = asked(tiny, "run")["run"]
    assert asked(tiny, "runs")["runs"] == [run]
    shown = asked(tiny, "show")
    assert shown["run"] == run
    assert "stage" in {event["kind"] for event in shown["events"]}
    assert asked(tiny, "cancel") == run
    assert asked(tiny, "logs", "one") == {"run": run["id"], "stage": "one", "text": "from one\n"}


def test_findings_of_a_check(asked: Any, tiny: Path) -> None:
    assert {finding["what"] for finding in asked(tiny, "check")} >= {"shipway.yaml", "journal", "plan", "git"}
    (tiny / "in.txt").unlink()
    findings = asked(tiny, "check", code=2)
    assert [finding["problem"] for finding in findings if finding["problem"]] != []


def test_upkeep(asked: Any, tiny: Path) -> None:
    asked(tiny, "run")
    assert asked(tiny, "store", "gc")["trees"] == 0
    assert asked(tiny, "store", "verify") == []
    assert asked(tiny, "track") == {"waiting": 0}


def test_a_first_project_file(asked: Any, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("print()\n")
    assert asked(tmp_path, "init") == {"written": str(tmp_path / "shipway.yaml")}


def test_an_error_leaves_standard_output_empty(typed: Any, tiny: Path) -> None:
    said = typed(tiny, "run", "--only", "nope", "--json")
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith("shipway: ")


def test_json_is_utf_8_wherever_it_is_read(shipway: Any, tiny: Path) -> None:
    file = (tiny / "shipway.yaml").read_text().replace("echo from one", "echo größer")
    (tiny / "shipway.yaml").write_text(file)
    assert shipway(tiny, "run").returncode == 0
    code, out = raw(shipway, tiny, "logs", "one", "--json", PYTHONIOENCODING="ascii")
    assert (code, json.loads(out)["text"]) == (0, "größer\n")


def raw(shipway: Any, project: Path, *words: str, **env: str) -> tuple[int, bytes]:
    process = shipway.start(project, *words, **env)
    out = process.stdout.buffer.read()
    process.communicate(timeout=60)
    return process.returncode, out
