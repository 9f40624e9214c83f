"""What is wrong is said in one message, with a hint where there is something to do; a traceback is for faults of ours."""

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

TWO = """
project: tiny
tracking: off
stages:
  one: {run: "cat in.txt > one.txt", inputs: [in.txt], outputs: [one.txt]}
"""

VERBS = [
    ("check",),
    ("plan",),
    ("run",),
    ("ship",),
    ("runs",),
    ("show",),
    ("logs",),
    ("cancel",),
    ("resume",),
    ("models",),
    ("promote", "1"),
    ("endpoints",),
    ("predict", "-f", "in.txt"),
    ("rollback", "here"),
    ("store", "gc"),
    ("store", "verify"),
    ("track",),
    ("ui", "--port", "0"),
]


def one_message(said: Any, code: int, *, hint: bool = True) -> str:
    """Assert that an error was told as it should be; return the first line."""
    lines = said.err.splitlines()
    assert said.code == code, said
    assert said.out == ""
    assert lines[0].startswith("shipway: "), said.err
    assert [line for line in lines if "Traceback" in line or 'File "' in line] == []
    assert any(line.startswith("  hint: ") for line in lines) is hint, said.err
    return str(lines[0])


@pytest.mark.parametrize("words", VERBS, ids=" ".join)
def test_every_verb_says_that_there_is_no_project(words: tuple[str, ...], typed: Any, tmp_path: Path) -> None:
    (tmp_path / "in.txt").touch()
    assert "there is no shipway.yaml in" in one_message(typed(tmp_path, *words), 2)


@pytest.mark.parametrize("words", [words for words in VERBS if words[0] != "check"], ids=" ".join)
def test_every_verb_says_where_the_project_file_is_no_yaml(
    words: tuple[str, ...], typed: Any, make_project: Callable[..., Path]
) -> None:
    project = make_project("project: [tiny\nstages: {", {"in.txt": ""})
    assert "shipway.yaml:2:" in one_message(typed(project, *words), 2, hint=False)


def test_all_faults_of_the_project_file_are_told_at_once(typed: Any, make_project: Callable[..., Path]) -> None:
    said = typed(make_project(TWO + "  two: {rum: true}\ngat: []\n"), "run")
    assert said.code == 2
    assert "rum" in said.err
    assert "gat" in said.err
    assert "did you mean" in said.err


@pytest.mark.parametrize("option", ["--only", "--from", "--until", "--force"])
def test_an_unknown_stage_is_named_with_those_there_are(option: str, typed: Any, tiny: Path) -> None:
    said = typed(tiny, "run", option, "onne")
    assert "'onne'" in one_message(said, 2)
    assert "one, two" in said.err


@pytest.mark.parametrize("verb", [("show",), ("logs",), ("cancel",), ("resume",)])
def test_an_unknown_run_is_named(verb: tuple[str], typed: Any, tiny: Path) -> None:
    assert typed(tiny, "run").code == 0
    assert "there is no run 'xyz'" in one_message(typed(tiny, *verb, "xyz"), 2)


def test_a_secret_that_is_not_set_is_named(
    typed: Any, make_project: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SOME_TOKEN", raising=False)
    project = make_project(TWO.replace("inputs:", "secrets: [SOME_TOKEN], inputs:"), {"in.txt": ""})
    said = typed(project, "run")
    assert (said.code, said.out) == (2, "")
    assert "shipway: secret SOME_TOKEN is not set\n  hint: export SOME_TOKEN" in said.err
    checked = typed(project, "check")
    assert (checked.code, checked.err) == (2, "")
    assert "✗ secret SOME_TOKEN" in checked.out


@pytest.mark.parametrize("verb", ["plan", "run", "runs", "show"])
def test_a_journal_that_does_not_answer_is_unreachable(
    verb: str, typed: Any, make_project: Callable[..., Path], closed_port: int
) -> None:
    url = f"postgresql://someone@127.0.0.1:{closed_port}/journal"
    project = make_project(f"journal: {url}\n{TWO}", {"in.txt": ""})
    assert url in one_message(typed(project, verb), 4)


@pytest.mark.parametrize("verb", ["plan", "run", "runs"])
def test_a_journal_that_is_no_journal_is_named_and_not_touched(verb: str, typed: Any, tiny: Path) -> None:
    (tiny / ".shipway").mkdir()
    journal = tiny / ".shipway" / "journal.db"
    journal.write_text("something else " * 100)
    assert "journal.db is damaged" in one_message(typed(tiny, verb), 1)
    assert journal.read_text() == "something else " * 100


@pytest.mark.parametrize("verb", ["plan", "run"])
def test_a_store_in_the_place_of_a_file_is_named(verb: str, typed: Any, make_project: Callable[..., Path]) -> None:
    project = make_project(f"store: in.txt/store\n{TWO}", {"in.txt": ""})
    assert "store: in.txt/store cannot be a directory" in one_message(typed(project, verb), 2)


def test_a_store_that_cannot_be_written_is_named(typed: Any, make_project: Callable[..., Path]) -> None:
    project = make_project(f"store: /proc/shipway\n{TWO}", {"in.txt": ""})
    said = typed(project, "run")
    assert said.code == 1
    assert "shipway: /proc/shipway" in said.err
    assert "Traceback" not in said.err


def test_a_picture_that_cannot_be_written_is_named(typed: Any, tiny: Path) -> None:
    assert typed(tiny, "run").code == 0
    assert "/nowhere/graph.svg" in one_message(typed(tiny, "show", "--graph", "/nowhere/graph.svg"), 1, hint=False)


def test_a_failed_stage_is_told_with_where_to_read_more(typed: Any, make_project: Callable[..., Path]) -> None:
    project = make_project(TWO.replace("cat in.txt", "echo oh no; exit 7; cat in.txt"), {"in.txt": ""})
    said = typed(project, "run")
    assert (said.code, said.out) == (1, "")
    assert "exit code 7" in said.err
    assert "shipway logs" in said.err
    assert typed(project, "logs").out == "oh no\n"


def test_nothing_runs_where_the_project_names_no_model_to_ship(typed: Any, tiny: Path) -> None:
    assert "no model" in one_message(typed(tiny, "ship"), 2)
    assert not (tiny / "one.txt").exists()


MODEL = (
    TWO
    + """
  judge: {run: "echo '{}' > metrics.json", inputs: [one.txt], metrics: [metrics.json]}
model: {name: tiny, path: one.txt, evaluate: judge}
endpoints: {here: {port: 8080}}
"""
)


@pytest.mark.parametrize(
    ("words", "told"), [(("--until", "one"), "without stage judge"), (("--to", "there"), "no endpoint 'there'")]
)
def test_what_cannot_be_shipped_is_refused_before_anything_runs(
    words: tuple[str, str], told: str, typed: Any, make_project: Callable[..., Path]
) -> None:
    project = make_project(MODEL, {"in.txt": ""})
    assert told in one_message(typed(project, "ship", *words), 2)
    assert not (project / "one.txt").exists()


@pytest.fixture
def closed_port() -> Iterator[int]:
    """One that nobody listens at, and that nobody else gets meanwhile."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]
