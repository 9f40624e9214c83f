"""A small project on disk, and the command line in a process of its own, for every test that needs one."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

MakeProject = Callable[..., Path]

SHIPWAY = (sys.executable, "-c", "import sys; from shipway.cli.main import main; sys.argv[0] = 'shipway'; main()")
HARBOUR = Path(__file__).parent / "harbour"


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


class Shipway:
    """The command line in processes of their own; `python` is the tests' own interpreter there, so that no environment is built."""

    def __init__(self) -> None:
        at_hand = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self.env = {**os.environ, "PATH": at_hand, "SHIPWAY_CRASH_AT": ""}
        self.argv = SHIPWAY

    def __call__(self, project: Path, *words: str, **env: str) -> "subprocess.CompletedProcess[str]":
        done = self.start(project, *words, **env)
        try:
            out, err = done.communicate(timeout=120)
        except subprocess.TimeoutExpired:
            done.kill()
            raise
        return subprocess.CompletedProcess(words, done.returncode, out, err)

    def start(self, project: Path, *words: str, **env: str) -> "subprocess.Popen[str]":
        """In a process group of its own, as a shell would."""
        return subprocess.Popen(
            [*self.argv, *words],
            cwd=project,
            env={**self.env, **env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            process_group=0,
        )

    def strays(self, project: Path) -> dict[int, str]:
        """Processes that work in the project: the number and command line of each."""
        found = {}
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                where = Path(os.readlink(process / "cwd"))
                if where.is_relative_to(project) or f"{project}/.shipway" in command:
                    found[int(process.name)] = command
        found.pop(os.getpid(), None)
        return found

    def end(self, project: Path) -> None:
        """Whatever a failed test left running there."""
        for _ in range(3):  # a keeper that is seen first may start what it keeps once more
            for pid in self.strays(project):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


@pytest.fixture(scope="session")
def shipway() -> Shipway:
    return Shipway()


@pytest.fixture(scope="session")
def make_harbour(shipway: Shipway) -> Iterator[Callable[..., Path]]:
    """
    Returns a function that copies a project, `tests/harbour` if no other is named, to a directory and gives its endpoint a free port.

    Keyword arguments replace what stands in its shipway.yaml; whatever still runs at the end of the tests is ended.
    """
    made: list[Path] = []

    def make(root: Path, source: Path = HARBOUR, **replaced: str) -> Path:
        shutil.copytree(source, root, ignore=shutil.ignore_patterns("__pycache__"))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        text = (root / "shipway.yaml").read_text().replace("port: 8080", f"port: {port}")
        for old, new in replaced.items():
            assert f"{old}:" in text
            text = "".join(
                f"{old}: {new}\n" if line.startswith(f"{old}:") else line for line in text.splitlines(keepends=True)
            )
        (root / "shipway.yaml").write_text(text)
        name = ["-c", "user.name=Tests", "-c", "user.email=tests@localhost"]
        for words in (["init", "-q"], ["add", "-A"], [*name, "commit", "-q", "-m", "Begin"]):
            subprocess.run(["git", "-C", str(root), *words], check=True)
        made.append(root)
        return root

    yield make
    for root in made:
        shipway.end(root)
