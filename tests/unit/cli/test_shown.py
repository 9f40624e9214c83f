"""What a person sees of a run: times, verdicts, the tracker's troubles, and the end of what a failed stage printed."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from shipway.cli.demo import command
from shipway.cli.output import Lines, verdict_lines
from shipway.specs.runs import Event


def events(lines: Lines, *seen: tuple[float, str, dict[str, Any]]) -> None:
    for number, (at, kind, data) in enumerate(seen):
        lines(Event(seq=number, run="r", at=at, kind=kind, data=data))


def test_the_time_of_a_stage_leaves_out_the_making_of_its_environment(capsys: pytest.CaptureFixture[str]) -> None:
    began = (100.0, "stage", {"stage": "train", "state": "running"})
    job = (120.0, "job", {"stage": "train", "job": "0123456789abcdef", "site": "local"})
    events(Lines(), began, job, (121.5, "stage", {"stage": "train", "state": "succeeded"}))
    assert capsys.readouterr().err.splitlines()[-1].endswith("train: succeeded  1.5 s")


def test_a_tracker_that_is_away_is_told_with_its_reason(capsys: pytest.CaptureFixture[str]) -> None:
    from shipway.pipeline.feed import AWAY, DROPPED

    events(Lines(), (1.0, AWAY, {"reason": "refused"}), (2.0, DROPPED, {"kind": "metrics", "reason": "too long"}))
    away, dropped = capsys.readouterr().err.splitlines()
    assert "(refused)" in away
    assert "takes no metrics: too long" in dropped


def test_a_verdict_shows_zeros_as_well() -> None:
    condition = {"text": "loss <= 0", "left": 0.0, "right": 0.0, "outcome": "open", "note": None}
    shown = verdict_lines({"outcome": "open", "champion": None, "conditions": [condition]})
    assert shown.endswith("loss <= 0  (0, 0)")


def test_a_failed_stage_shows_the_end_of_what_it_printed(typed: Any, tiny: Path) -> None:
    file = (tiny / "shipway.yaml").read_text().replace("echo from one;", "seq 1 50; echo so it ends >&2; false &&")
    (tiny / "shipway.yaml").write_text(file)
    said = typed(tiny, "run")
    assert said.code == 1
    lines = said.err.splitlines()
    assert "    so it ends" in lines
    assert "    50" in lines
    assert "    1" not in lines
    assert lines.index("    so it ends") < next(n for n, line in enumerate(lines) if line.startswith("shipway: "))


def test_the_logs_of_a_stage_that_was_skipped_say_whose_fault_it_was(typed: Any, tiny: Path) -> None:
    (tiny / "shipway.yaml").write_text((tiny / "shipway.yaml").read_text().replace("echo from one;", "false &&"))
    assert typed(tiny, "run").code == 1
    said = typed(tiny, "logs", "two")
    assert said.code != 0
    assert "was skipped, since stage one failed" in said.err
    assert re.search(r"hint: see what that one printed: shipway logs \S+ one$", said.err, re.MULTILINE)


def test_the_logs_of_a_cached_stage_are_those_of_its_making_while_they_are_kept(typed: Any, tiny: Path) -> None:
    typed(tiny, "run")
    (tiny / "shipway.yaml").write_text(
        (tiny / "shipway.yaml").read_text().replace("cat one.txt one", "cat one.txt; cat one")
    )
    typed(tiny, "run")
    assert typed(tiny, "logs", "one").out == "from one\n"
    shutil.rmtree(tiny / ".shipway" / "store" / "keys")
    said = typed(tiny, "logs", "one")
    assert "stage one" in said.err
    assert "was cached: its result was there already, but what it printed then is not" in said.err


def test_several_faults_are_counted_and_stand_below_one_another(typed: Any, tiny: Path) -> None:
    with (tiny / "shipway.yaml").open("a") as file:
        file.write("gat: []\nmodle: {}\n")
    first, *faults = typed(tiny, "plan").err.splitlines()
    assert first == "shipway: 2 faults"
    assert [fault.split(": ")[0].startswith("  shipway.yaml:") for fault in faults] == [True, True]


def test_the_demo_names_a_command_that_can_be_typed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "some where" / "shipway"
    program.parent.mkdir()
    program.touch(mode=0o755)
    monkeypatch.setattr("sys.argv", [str(program), "demo"])
    monkeypatch.setenv("PATH", str(tmp_path))
    assert command() == f"'{program}'"
    monkeypatch.setenv("PATH", str(program.parent))
    assert command() == "shipway"
