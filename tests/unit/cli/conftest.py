"""The command line in this very process, which is quick; what depends on a process of its own uses the fixture `shipway`."""

import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

MakeProject = Callable[..., Path]


class Said(NamedTuple):
    """What a command left behind."""

    code: int
    out: str
    err: str


Typed = Callable[..., Said]


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Iterator[Typed]:
    """Returns a function that types a command in a directory."""
    from shipway.cli.main import main

    before = signal.getsignal(signal.SIGTERM)

    def type_(project: Path, *words: str) -> Said:
        monkeypatch.chdir(project)
        monkeypatch.setattr(sys, "argv", ["shipway", *words])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        assert isinstance(ended.value.code, int)
        return Said(ended.value.code, *capfd.readouterr())

    yield type_
    signal.signal(signal.SIGTERM, before)


FILE = """
project: tiny
tracking: off
stages:
  one: {run: "echo from one; cat in.txt > one.txt", inputs: [in.txt], outputs: [one.txt]}
  two: {run: "cat one.txt one.txt > two.txt", inputs: [one.txt], outputs: [two.txt]}
"""


@pytest.fixture
def tiny(make_project: MakeProject) -> Path:
    """A project of two stages."""
    return make_project(FILE, {"in.txt": "in\n"})
