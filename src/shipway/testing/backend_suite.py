"""What the parts of the backend suite share: the fixtures that an adapter provides, and how to run a job to its end."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from shipway.backends.base import Backend
from shipway.specs.jobs import JobHandle, JobSpec, JobState, JobStatus, Mount
from shipway.specs.trees import Digest
from shipway.store.base import Store
from shipway.store.directory import DirectoryStore
from shipway.store.hashing import Scanner

Content = str | bytes | None
"""Of a file; None: an empty directory."""

_ORDER = [state for state in JobState if state is not JobState.UNKNOWN]


class BackendSuite:
    """Commands are `sh` and what every image has, and what a job did is told by its log and outputs: the far side may be far."""

    patience_seconds = 20.0

    @pytest.fixture
    def store(self, tmp_path: Path) -> Store:
        return DirectoryStore(tmp_path / "store")

    @pytest.fixture
    def backend(self) -> Backend:
        raise NotImplementedError("provide the backend under test, over the fixture `store`")

    @pytest.fixture
    def reopen(self) -> Callable[[], Backend]:
        raise NotImplementedError("provide another instance over the same far side, as another process has it")

    @pytest.fixture
    def kept(self) -> Callable[[], bytes]:
        """All that the far side's files hold, names and content."""
        raise NotImplementedError("provide what the far side keeps")

    def job(self, *command: str, **fields: Any) -> JobSpec:
        return JobSpec(id=f"t-{uuid4().hex[:12]}", run="run-1", stage="train", command=command, **fields)

    def sh(self, script: str, **fields: Any) -> JobSpec:
        return self.job("sh", "-c", script, **fields)

    def status(self, backend: Backend, handle: JobHandle) -> JobStatus:
        return backend.status([handle])[handle]

    def wait(self, backend: Backend, handle: JobHandle) -> JobStatus:
        """To the end; on the way, states only move down their list."""
        deadline = time.monotonic() + self.patience_seconds
        seen = [self.status(backend, handle)]
        while not seen[-1].state.terminal:
            assert time.monotonic() < deadline, f"still {seen[-1]} after {self.patience_seconds} s"
            time.sleep(0.01)
            seen.append(self.status(backend, handle))
        steps = [_ORDER.index(status.state) for status in seen if status.state is not JobState.UNKNOWN]
        assert steps == sorted(steps)
        return seen[-1]

    def printed(self, backend: Backend, job: JobSpec) -> bytes:
        """Submit, wait for success, and return the log."""
        handle = backend.submit(job)
        status = self.wait(backend, handle)
        log = b"".join(backend.logs(handle))
        assert status.state is JobState.SUCCEEDED, (status, log)
        return log

    def until_printed(self, backend: Backend, handle: JobHandle, line: bytes) -> None:
        deadline = time.monotonic() + self.patience_seconds
        while line not in list(backend.logs(handle)):
            assert time.monotonic() < deadline, f"{line!r} was not printed after {self.patience_seconds} s"
            time.sleep(0.01)

    def still_printing(self, backend: Backend, handle: JobHandle) -> bool:
        before = list(backend.logs(handle))
        time.sleep(0.2)
        return list(backend.logs(handle)) != before


def put(store: Store, place: Path, files: Mapping[str, Content] | Content) -> Digest:
    """Make a directory of `files`, or one file, at `place`, and store it. A name that ends in "*" is executable, a content "-> x" a link to x."""
    if isinstance(files, Mapping):
        place.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            _write(place / name.rstrip("*"), content, executable=name.endswith("*"))
    else:
        _write(place, files, executable=False)
    scan = Scanner(place.parent / ".cache").scan(place)
    return store.put_tree(scan.tree, place, digest=scan.digest)


def held(store: Store, digest: Digest) -> dict[str, Content]:
    """What a tree holds, in the words of `put`."""
    found: dict[str, Content] = {}
    for entry in store.tree(digest).entries:
        if entry.target is not None:
            found[entry.path] = f"-> {entry.target}"
        elif entry.digest is None:
            found[entry.path.rstrip("/")] = None
        else:
            with store.open(entry.digest) as file:
                found[entry.path + "*" * entry.executable] = file.read().decode()
    return found


def mounts(store: Store, place: Path, **inputs: Mapping[str, Content] | Content) -> tuple[Mount, ...]:
    """One mount for each input; "__" in a name stands for "/", and `here` for the work tree itself."""
    return tuple(
        Mount(path="." if name == "here" else name.replace("__", "/"), tree=put(store, place / name, files))
        for name, files in inputs.items()
    )


def _write(path: Path, content: Content, *, executable: bool) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if content is None:
        path.mkdir()
    elif isinstance(content, str) and content.startswith("-> "):
        path.symlink_to(content.removeprefix("-> "))
    else:
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        path.chmod(0o755 if executable else 0o644)
