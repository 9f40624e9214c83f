"""
Find `shipway.yaml` and load it.

A file that was checked before is taken from a cache by its content, without yaml or pydantic, so nothing at the top of this module may import them.
"""

import os
from hashlib import sha256
from pathlib import Path

import msgspec

from shipway import __version__
from shipway.config.cache import keep, recall
from shipway.config.presence import missing
from shipway.errors import ConfigError
from shipway.specs.stages import Project

NAME = "shipway.yaml"
_VERSION = f"1 {__version__}\n".encode()
"""Grows when the same text would be read into another Project."""


def find_project(start: Path) -> Path:
    """The `shipway.yaml` in `start` or in the nearest directory above it. Raises ConfigError."""
    start = Path(os.path.abspath(start))
    for directory in (start, *start.parents):
        if (directory / NAME).is_file():
            return directory / NAME
    other = start / "shipway.yml"
    hint = f"rename {other} to {NAME}" if other.is_file() else "run `shipway init` to write one"
    raise ConfigError([f"there is no {NAME} in {start} or above"], hint=hint)


def load_project(path: Path, *, cache: Path | None = None) -> Project:
    """
    Load the project whose file is `path`, or is found from the directory `path`.

    `cache` is a directory where checked projects are kept. Raises ConfigError with every fault in the file.
    """
    file = find_project(path) if path.is_dir() else Path(os.path.abspath(path))
    try:
        data = file.read_bytes()
    except OSError as error:
        raise ConfigError([f"{path}: {error.strerror}"]) from error
    root = file.parent
    kept = None if cache is None else cache / f"project-{sha256(_VERSION + data).hexdigest()}"
    project = None if kept is None else recall(kept, Project)
    if project is not None:
        project = msgspec.structs.replace(project, root=str(root))
    if project is None or any(missing(project)):
        # Other packages' plugins have no say in our schema, and looking for them takes pydantic longer than all of the file does.
        os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
        from shipway.config.project import read_project

        project = read_project(data, root, file.name)
        if kept is not None:
            keep(kept, project)
    return project
