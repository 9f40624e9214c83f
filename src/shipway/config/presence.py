"""What the project must have on disk now; looked at on every load, so it costs no more than an lstat for each path."""

import os
from collections.abc import Iterator
from pathlib import Path

from shipway.specs.globs import glob_head, is_glob, matches, reaches
from shipway.specs.stages import Project

Missing = tuple[tuple[str | int, ...], str]
"""Where the file names it, and what is wrong."""


def missing(project: Project) -> Iterator[Missing]:
    """Everything that the file names, no stage makes, and is not there."""
    outputs = [output for stage in project.stages for output in stage.all_outputs]
    root = Path(project.root)
    requirements: set[str] = set()
    for stage in project.stages:
        for index, path in enumerate(stage.inputs or ()):
            if not any(reaches(path, output) for output in outputs) and not _there(root, path):
                what = "no file matches it" if is_glob(path) else "it is not there"
                yield ("stages", stage.name, "inputs", index), f"{path!r}: {what}, and no stage makes it"
        if stage.environment.requirements is not None and stage.environment.requirements not in requirements:
            requirements.add(stage.environment.requirements)
            if not os.path.isfile(root / stage.environment.requirements):
                yield (
                    ("stages", stage.name, "environment", "requirements"),
                    f"{stage.environment.requirements!r}: there is no such file",
                )
    for endpoint in project.endpoints:
        samples = endpoint.samples
        if (
            samples is not None
            and not any(reaches(samples, output) for output in outputs)
            and not _there(root, samples)
        ):
            yield ("endpoints", endpoint.name, "samples"), f"{samples!r}: it is not there, and no stage makes it"


def _there(root: Path, path: str) -> bool:
    if not is_glob(path):
        return os.path.lexists(root / path)
    head = glob_head(path)
    return any(matches(path, found) for found in _walk(root, "" if head == "." else head))


def _walk(root: Path, below: str) -> Iterator[str]:
    """Every path below a directory, relative to the root; links are not followed."""
    queue = [below]
    while queue:
        directory = queue.pop()
        try:
            entries = sorted(os.scandir(root / directory), key=lambda entry: entry.name)
        except OSError:
            continue
        for entry in entries:
            path = f"{directory}/{entry.name}" if directory else entry.name
            yield path
            if entry.is_dir(follow_symlinks=False) and entry.name not in (".git", ".shipway", ".venv"):
                queue.append(path)
