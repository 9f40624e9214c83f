"""What every backend must tell of a job, and what it must not, as tests: logs, the native request, refusals, secrets."""

from collections.abc import Callable

import pytest

from shipway.backends.base import Backend, Capability
from shipway.errors import InvalidJobError, NotFoundError
from shipway.specs.jobs import JobHandle, JobSpec, JobState, Resources
from shipway.store.base import Store
from shipway.testing.backend_suite import BackendSuite

SECRET = "s3cret $(value) 'with' \"quotes\""


class Telling(BackendSuite):
    """What is read of a job, rather than done with it."""

    def test_logs_hold_both_streams_each_in_order(self, backend: Backend) -> None:
        lines = self.printed(backend, self.sh("echo 1; echo 2; echo e1 >&2; echo e2 >&2; echo 3")).splitlines()
        assert [line for line in lines if line[:1] != b"e"] == [b"1", b"2", b"3"]
        assert [line for line in lines if line[:1] == b"e"] == [b"e1", b"e2"]

    def test_many_lines_are_all_there(self, backend: Backend) -> None:
        assert self.printed(backend, self.job("seq", "100000")).splitlines() == [b"%d" % at for at in range(1, 100001)]

    def test_logs_yield_lines_with_their_ends(self, backend: Backend) -> None:
        handle = backend.submit(self.sh("printf 'a\\n\\nb\\r\\nlast'"))
        self.wait(backend, handle)
        assert list(backend.logs(handle)) == [b"a\n", b"\n", b"b\r\n", b"last"]

    def test_following_yields_a_line_before_the_job_ends(self, backend: Backend) -> None:
        handle = backend.submit(self.sh("echo a; sleep 60"))
        assert next(iter(backend.logs(handle, follow=True))) == b"a\n"
        assert not self.status(backend, handle).state.terminal
        backend.remove(handle)

    def test_following_ends_with_the_job_and_loses_nothing(self, backend: Backend) -> None:
        handle = backend.submit(self.sh("printf a; sleep 0.2; echo b; seq 2000; printf end"))
        numbers = [b"%d\n" % at for at in range(1, 2001)]
        assert list(backend.logs(handle, follow=True)) == [b"ab\n", *numbers, b"end"]

    def test_bytes_that_are_not_text_survive(self, backend: Backend) -> None:
        assert self.printed(backend, self.sh(r"printf '\377\000\n'")) == b"\xff\x00\n"

    def test_verbs_on_unknown_handles_are_not_found(self, backend: Backend, store: Store) -> None:
        stranger = JobHandle(backend.name, "t-never-submitted")
        for verb in (backend.cancel, backend.logs, lambda handle: backend.collect(handle, store)):
            with pytest.raises(NotFoundError):
                verb(stranger)
        backend.remove(stranger)

    # Secrets and translation

    def test_secrets_are_in_no_text_and_no_file(self, backend: Backend, kept: Callable[[], bytes]) -> None:
        job = self.sh('test -n "$TOKEN"; sleep 0.2', secrets={"TOKEN": SECRET})
        handle = backend.submit(job)
        assert SECRET.encode() not in kept()
        assert self.wait(backend, handle).state is JobState.SUCCEEDED
        assert SECRET.encode() not in kept()
        for text in (backend.render(job), repr(job), repr(backend), str(self.status(backend, handle))):
            assert SECRET not in text

    def test_render_is_pure_and_tells_jobs_apart(self, backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
        job = self.job("true")
        with monkeypatch.context() as patch:
            for name in ("subprocess.Popen", "socket.socket", "os.environ", "time.time"):
                patch.setattr(name, None)
            first, second, other = backend.render(job), backend.render(job), backend.render(self.job("false"))
        assert first == second != other

    @pytest.mark.parametrize(
        ("lacking", "fields"),
        [(Capability.IMAGE, {"image": "busybox"}), (Capability.GPU, {"resources": Resources(gpus=1)})],
    )
    def test_what_a_backend_lacks_is_refused_before_anything_runs(
        self, backend: Backend, lacking: Capability, fields: dict[str, object]
    ) -> None:
        if lacking in backend.capabilities:
            pytest.skip(f"has {lacking}")
        self._refused(backend, self.job("true", **fields))

    @pytest.mark.parametrize(
        "fields",
        [
            {"command": ()},
            {"id": "Upper"},
            {"id": "../up"},
            {"outputs": ("../up",)},
            {"outputs": ("/abs",)},
            {"outputs": (".",)},
            {"env": {"A=B": "x"}},
            {"env": {"A": "nul\0"}},
        ],
    )
    def test_a_job_that_cannot_be_is_refused_before_anything_runs(
        self, backend: Backend, fields: dict[str, object]
    ) -> None:
        words: dict[str, object] = {"id": "t-bad", "run": "r", "stage": "s", "command": ("true",)}
        self._refused(backend, JobSpec(**(words | fields)))  # type: ignore[arg-type]  # fields of several types

    def _refused(self, backend: Backend, job: JobSpec) -> None:
        with pytest.raises(InvalidJobError):
            backend.render(job)
        with pytest.raises(InvalidJobError):
            backend.submit(job)
        assert self.status(backend, JobHandle(backend.name, job.id)).state is JobState.NOT_FOUND
