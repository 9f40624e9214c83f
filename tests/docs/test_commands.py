"""Commands that the documentation tells people to type exist."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

SHIPWAY = re.compile(r"^(?:\$ )?(?:\.venv/bin/)?shipway (?P<verb>[a-z]+)", re.MULTILINE)
MAKE = re.compile(r"(?:^(?:\$ )?|`)make (?P<target>[a-z]+)", re.MULTILINE)


def test_every_make_target_in_the_documentation_exists(markdown: list[Path], root: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (root / "Makefile").read_text(), re.MULTILINE))
    named = {match["target"] for page in markdown for match in MAKE.finditer(page.read_text())}
    assert {"demo", "test", "check"} <= named
    assert named - targets == set()


def test_every_verb_in_the_documentation_exists(markdown: list[Path], root: Path) -> None:
    if not (root / "src/shipway/cli/main.py").exists():
        pytest.skip("there is no command line yet")
    command = "import sys; from shipway.cli.main import main; sys.argv[0] = 'shipway'; main()"
    shown = subprocess.run([sys.executable, "-c", command, "--help"], capture_output=True, text=True, check=True).stdout
    verbs = set(re.findall(r"^  ([a-z]+)", shown, re.MULTILINE))
    named = {match["verb"] for page in markdown for match in SHIPWAY.finditer(page.read_text())}
    assert {"check", "plan", "run", "ship", "predict", "rollback"} <= named
    assert named - verbs == set()
