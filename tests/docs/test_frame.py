"""The commands around the code: what the README promises is what the Makefile offers and what continuous integration runs."""

import os
import subprocess
from pathlib import Path


def test_help_lists_every_target_that_people_type(root: Path) -> None:
    shown = subprocess.run(["make", "help"], cwd=root, capture_output=True, text=True, check=True).stdout
    listed = {line.split()[1] for line in shown.splitlines() if line.startswith("make ")}
    assert {"demo", "test", "check", "bench", "clean", "help"} <= listed


def test_continuous_integration_runs_the_checks_and_then_the_tests(root: Path) -> None:
    script = root / ".ci" / "run"
    assert os.access(script, os.X_OK)
    lines = [line for line in script.read_text().splitlines() if line.startswith("make ")]
    assert lines == ["make check", "make test"]
    assert all(line in (root / "README.md").read_text() + (root / "CONTRIBUTING.md").read_text() for line in lines)


def test_hooks_fetch_nothing(root: Path) -> None:
    import yaml

    repositories = yaml.safe_load((root / ".pre-commit-config.yaml").read_text())["repos"]
    assert [repository["repo"] for repository in repositories] == ["local"]
    assert {hook["language"] for hook in repositories[0]["hooks"]} == {"system"}
