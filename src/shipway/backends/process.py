"""
Runs jobs as process groups of this machine, each under a small wrapper that outlives us.

All state lies in `<workspace>/jobs/<id>/` (jobdir.py), so any process answers for any job. Whoever wins the claim there runs the job; submitting is
therefore safe to repeat from any number of processes and after a death at any step: what is missing is done, what is done is left.
"""

import itertools
import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import ClassVar

import msgspec

from shipway.backends import processes
from shipway.backends.base import Backend, Capability
from shipway.backends.jobdir import JobDirectory, owner_of, private_name
from shipway.backends.launching import launch, launch_end, reap
from shipway.backends.outputs import collect_outputs
from shipway.backends.request import Request, is_job_id, to_request, to_text
from shipway.backends.staging import Staged, Stager
from shipway.errors import NotFoundError, StageError, UnavailableError
from shipway.specs.jobs import JobHandle, JobSpec, JobState, JobStatus
from shipway.specs.trees import Digest
from shipway.store.base import Store
from shipway.store.hashing import Scanner
from shipway.store.views import Views

_REMOVE_SECONDS = 15.0
"""How long `remove` waits for a live job to end."""
_POLL_SECONDS = 0.02
_PIECE = 1 << 16

_decode_request = msgspec.json.Decoder(Request).decode
_decode_staged = msgspec.msgpack.Decoder(Staged).decode
_numbers = itertools.count()
_OVER = (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED, JobState.NOT_FOUND)


class ProcessBackend(Backend):
    """`cache` is where a scanner remembers the stat data of the project's own copies; None: in the workspace, which may share it with the planner."""

    name: ClassVar[str] = "process"
    capabilities: ClassVar[frozenset[Capability]] = frozenset({Capability.TIMEOUT})

    def __init__(self, workspace: Path, store: Store, views: Views, *, cache: Path | None = None) -> None:
        self._jobs = workspace.absolute() / "jobs"
        self._cache = cache or workspace.absolute() / "cache" / "stat"
        self._stager = Stager(store, views, self._cache)

    def render(self, job: JobSpec) -> str:
        return to_text(to_request(job))

    def submit(self, job: JobSpec) -> JobHandle:
        reap()
        request = self.render(job)
        directory = JobDirectory(self._jobs / job.id)
        with self._disk():
            self._jobs.mkdir(parents=True, exist_ok=True)
            directory.path.mkdir(mode=0o700, exist_ok=True)
            if not _has_request(directory):
                _write(directory.request, request.encode())
            if not directory.claimed:
                self._stage(directory, job)
                os.utime(directory.path)
                launch(directory, job)
        return JobHandle(self.name, job.id)

    def status(self, handles: Sequence[JobHandle]) -> Mapping[JobHandle, JobStatus]:
        reap()
        with self._disk():
            return {handle: self._status(self._directory(handle)) for handle in handles}

    def logs(self, handle: JobHandle, *, follow: bool = False) -> Iterator[bytes]:
        return self._lines(self._find(handle), follow)

    def cancel(self, handle: JobHandle) -> None:
        directory = self._find(handle)
        if not directory.decide("verdict", "cancelled") and directory.verdict() != ["cancelled"]:
            return
        if directory.decide("claim", "cancelled"):
            return  # now it never starts
        claim = directory.claim()
        if claim is None:
            return  # its wrapper is about to write it, and looks for a verdict then
        if claim.elsewhere:
            raise UnavailableError(f"job {handle} runs on host {claim.host!r}", hint="cancel it there")
        if claim.alive:
            launch_end(directory)

    def collect(self, handle: JobHandle, store: Store) -> Mapping[str, Digest]:
        directory = self._find(handle)
        with self._disk():  # another driver may remove it right now
            status = self._status(directory)
            if status.state is not JobState.SUCCEEDED:
                raise StageError(f"job {handle} has not succeeded: it is {status.state}")
            request = _decode_request(directory.request.read_bytes())
            self._stager.check(_given(directory), directory.work)
            directory.note("checked")
            return collect_outputs(directory.work, request.outputs, store, Scanner(directory.path / "cache"))

    def remove(self, handle: JobHandle) -> None:
        directory = self._directory(handle)
        if not directory.path.is_dir():
            return
        try:
            with self._disk():
                self._remove(handle, directory)
        except (NotFoundError, UnavailableError):
            if directory.path.is_dir():
                raise
            # Another process has removed it meanwhile.

    def _remove(self, handle: JobHandle, directory: JobDirectory) -> None:
        if directory.request.exists() and not self._status(directory).state.terminal:
            self.cancel(handle)
            self._await_end(handle, directory)
        self._throw_away_damage(directory)
        # Renamed first, so that nobody meets half a job.
        gone = self._jobs / _private_name("gone")
        directory.path.rename(gone)
        delete(gone)
        self._delete_leftovers(self._jobs, "gone")

    def _stage(self, directory: JobDirectory, job: JobSpec) -> None:
        """Stage in private, then give it its name; whoever is second throws the own copy away."""
        self._delete_leftovers(directory.path, "staging")
        if directory.stage.exists():
            return
        own = directory.path / _private_name("staging")
        try:
            own.mkdir()
            staged = self._stager.stage(job.inputs, job.outputs, own / "work")
            (own / "inputs").write_bytes(msgspec.msgpack.encode(staged))
            own.rename(directory.stage)
        except OSError:
            if not directory.stage.exists():
                raise
        finally:
            if own.exists():
                delete(own)

    def _status(self, directory: JobDirectory) -> JobStatus:
        if not directory.request.exists():
            return JobStatus(state=JobState.NOT_FOUND)
        status = directory.status()
        if status.state.terminal and directory.decided and not directory.settled:
            # A job that failed may have damaged a view as well. Nobody collects it, so look before anybody is told that it ended; what
            # another job reads by now is found out when that one is collected.
            if status.state is not JobState.SUCCEEDED:
                self._throw_away_damage(directory)
            directory.note("settled")
        return status

    def _throw_away_damage(self, directory: JobDirectory) -> None:
        if directory.stage.exists() and not directory.checked:
            self._stager.damage(_given(directory))
            directory.note("checked")

    def _lines(self, directory: JobDirectory, follow: bool) -> Iterator[bytes]:
        rest = bytearray()  # a progress bar may write megabytes before its first line end
        at = 0
        while True:
            ended = not follow or self._status(directory).state in _OVER
            for piece in _pieces(directory.log, at):
                at += len(piece)
                first, *lines = piece.split(b"\n")
                rest += first
                for line in lines:
                    yield bytes(rest) + b"\n"
                    rest = bytearray(line)
            if ended:
                break
            time.sleep(_POLL_SECONDS)
        if rest:
            yield bytes(rest)

    def _await_end(self, handle: JobHandle, directory: JobDirectory) -> None:
        deadline = time.monotonic() + _REMOVE_SECONDS
        while not self._status(directory).state.terminal:
            if time.monotonic() > deadline:
                raise UnavailableError(f"job {handle} is still ending", hint="remove it again later")
            reap()
            time.sleep(_POLL_SECONDS)

    def _delete_leftovers(self, place: Path, what: str) -> None:
        """Delete what processes left that died while they worked there."""
        for name in os.listdir(place):
            if (owner := owner_of(name, what)) and not owner.alive():
                with suppress(FileNotFoundError):  # others delete it, too
                    delete(place / name)

    def _directory(self, handle: JobHandle) -> JobDirectory:
        """A handle comes from a journal or a command line; what is no id must not become a path."""
        name = handle.native_id if is_job_id(handle.native_id) else "-"
        return JobDirectory(self._jobs / name)

    def _find(self, handle: JobHandle) -> JobDirectory:
        directory = self._directory(handle)
        if not directory.request.exists():
            raise NotFoundError(f"there is no job {handle} in {self._jobs.parent}")
        return directory

    @contextmanager
    def _disk(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise UnavailableError(
                f"workspace {self._jobs.parent}: {error}", hint="see that there is space and permission"
            ) from error


def _private_name(what: str) -> str:
    return private_name(what, processes.this_process(), next(_numbers))


def _has_request(directory: JobDirectory) -> bool:
    """Whether it is there and whole; a power failure may have left it empty."""
    try:
        _decode_request(directory.request.read_bytes())
    except (FileNotFoundError, msgspec.MsgspecError):
        return False
    return True


def _write(path: Path, data: bytes) -> None:
    part = path.with_name(_private_name("part"))
    part.write_bytes(data)
    part.rename(path)


def _given(directory: JobDirectory) -> Staged:
    return _decode_staged(directory.inputs.read_bytes())


def _pieces(log: Path, at: int) -> Iterator[bytes]:
    try:
        with log.open("rb") as file:
            file.seek(at)
            while piece := file.read(_PIECE):
                yield piece
    except FileNotFoundError:
        return


def delete(tree: Path) -> None:
    """Whatever modes the job gave to its directories; links are removed, not followed."""
    for top, names, _ in os.walk(tree):
        for name in names:
            if not os.path.islink(f"{top}/{name}"):
                os.chmod(f"{top}/{name}", 0o700)
    shutil.rmtree(tree)
