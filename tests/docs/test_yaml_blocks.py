"""Every YAML block that calls itself shipway.yaml is one that the real loader takes."""

import shutil
from pathlib import Path
from typing import Any

from shipway.config.files import load_project

MARK = "# shipway.yaml\n"


def test_every_shipway_yaml_in_the_documentation_loads(blocks: list[Any], root: Path, tmp_path: Path) -> None:
    marked = [block for block in blocks if block.language == "yaml" and block.text.startswith(MARK)]
    assert marked
    for number, block in enumerate(marked):
        project = tmp_path / str(number)
        skip = shutil.ignore_patterns("data", "model", "training", "evaluation", ".shipway", "__pycache__")
        shutil.copytree(root / "examples" / "digits", project, ignore=skip)
        (project / "shipway.yaml").write_text(block.text)
        assert load_project(project).stages, block.file


def test_the_readme_shows_the_example_as_it_is(blocks: list[Any], root: Path, tmp_path: Path) -> None:
    shown = next(block for block in blocks if block.file == root / "README.md" and block.text.startswith(MARK))
    skip = shutil.ignore_patterns("data", "model", "training", "evaluation", ".shipway", "__pycache__")
    project = tmp_path / "digits"
    shutil.copytree(root / "examples" / "digits", project, ignore=skip)
    real = load_project(project)
    (project / "shipway.yaml").write_text(shown.text)
    assert load_project(project) == real
