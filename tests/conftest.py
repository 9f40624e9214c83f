"""A small project on disk, for every test that needs one."""

import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

MakeProject = Callable[..., Path]


@pytest.fixture
def make_project(tmp_path: Path) -> MakeProject:
    """Returns a function that writes a shipway.yaml and other files into a new git repository."""

    def make(file: str, files: Mapping[str, str] = {}, name: str = "project") -> Path:
        root = tmp_path / name
        root.mkdir()
        for path, text in {"shipway.yaml": file, **files}.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text)
        subprocess.run(["git", "init", "-q", str(root)], check=True)
        return root

    return make
