"""A process backend over a store of its own, and how to look at what it runs."""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from shipway.backends.jobdir import JobDirectory
from shipway.backends.process import ProcessBackend
from shipway.specs.jobs import JobHandle, JobSpec, JobStatus
from shipway.store.directory import DirectoryStore
from shipway.store.views import Views

PATIENCE_SECONDS = 20.0


class Bench:
    """The backend under test with all that belongs to it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.store = DirectoryStore(root / "store")
        self.views = Views(root / "views", self.store)
        self.workspace = root / "workspace"
        self.backend = ProcessBackend(self.workspace, self.store, self.views)

    def job(self, script: str, **fields: Any) -> JobSpec:
        words: dict[str, Any] = {"id": "t-1", "run": "run-1", "stage": "train", "command": ("sh", "-c", script)}
        return JobSpec(**(words | fields))

    def directory(self, name: str = "t-1") -> JobDirectory:
        return JobDirectory(self.workspace / "jobs" / name)

    def status(self, handle: JobHandle) -> JobStatus:
        return self.backend.status([handle])[handle]

    def wait(self, handle: JobHandle) -> JobStatus:
        self.until(lambda: self.status(handle).state.terminal)
        return self.status(handle)

    def run(self, script: str, **fields: Any) -> JobStatus:
        return self.wait(self.backend.submit(self.job(script, **fields)))

    def log(self, name: str = "t-1") -> bytes:
        return b"".join(self.backend.logs(JobHandle("process", name)))

    def until(self, holds: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not holds():
            assert time.monotonic() < deadline, f"it did not come in {PATIENCE_SECONDS} s"
            time.sleep(0.01)

    def until_printed(self, text: bytes) -> None:
        self.until(lambda: text in self.log())

    def living(self, name: str = "t-1") -> list[int]:
        """Live processes of a job, its wrapper among them."""
        mark = self.directory(name).mark
        return [pid for pid in pids() if not dead(pid) and mark in environ(pid).split(b"\0")]


def pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def environ(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""


def dead(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] in "ZX"
    except OSError:
        return True


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    root = tmp_path / "two words"
    root.mkdir()
    bench = Bench(root)
    yield bench
    if (bench.workspace / "jobs").exists():
        for name in os.listdir(bench.workspace / "jobs"):
            bench.backend.remove(JobHandle("process", name))
