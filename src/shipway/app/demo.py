"""The demo: the digits example in a directory of its own, shipped from end to end, and one picture sent to it."""

import shutil
import socket
import subprocess
from pathlib import Path

import shipway
from shipway.errors import NotFoundError, UsageError

EXAMPLE = "digits"
_PORT = 8080


def prepare(directory: Path) -> bool:
    """Copy the example to `directory` and make a git repository of it; False if an earlier demo lies there. Raises UsageError."""
    if (directory / "shipway.yaml").exists():
        return False
    if directory.exists() and any(directory.iterdir()):
        raise UsageError(f"{directory} is not empty", hint="name another directory: shipway demo DIRECTORY")
    shutil.copytree(example(EXAMPLE), directory, dirs_exist_ok=True, ignore=_only_sources)
    _choose_port(directory / "shipway.yaml")
    name = ["-c", "user.name=Shipway demo", "-c", "user.email=demo@localhost"]
    for words in (["init", "-q"], ["add", "-A"], [*name, "commit", "-q", "-m", "The digits example"]):
        subprocess.run(["git", "-C", str(directory), *words], check=True)
    return True


def example(name: str) -> Path:
    """Where an example lies: in the installed package, or in a checkout of the repository."""
    package = Path(shipway.__file__).parent
    for place in (package / "examples" / name, package.parents[1] / "examples" / name):
        if (place / "shipway.yaml").exists():
            return place
    raise NotFoundError(f"example {name!r} is not installed")


def _only_sources(directory: str, names: list[str]) -> list[str]:
    return [name for name in names if name in (".shipway", "__pycache__", "data", "model", "evaluation", "training")]


def _choose_port(file: Path) -> None:
    """Leave the example's port if it's free; a demo should not fail over somebody else's server."""
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", _PORT)) != 0:
            return
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        free = probe.getsockname()[1]
    file.write_text(file.read_text().replace(f"port: {_PORT}", f"port: {free}"))
