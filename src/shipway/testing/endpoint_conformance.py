"""
What every endpoint must do, as one class of tests.

Subclass `EndpointConformance` in a test module, give the fixture `endpoint`, and `another`, which must reach the same place. Bundles hold
the stand-in model server, so that nothing but an interpreter is needed.
"""

import json
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import shipway
from shipway.delivery.calls import Caller
from shipway.endpoints.base import Capability, Endpoint
from shipway.errors import ConflictError, NotFoundError, RolloutError, ShipwayError, UnsupportedError
from shipway.specs.models import ModelVersion, Triple
from shipway.specs.releases import Release, Revision, RevisionState
from shipway.specs.trees import Digest

MODEL = "sums"
PATIENCE_SECONDS = 30.0

MakeRelease = Callable[..., Release]


def stand_in_bundle(path: Path, model: Mapping[str, Any], probe: Mapping[str, Any] | None = None) -> Path:
    """A bundle that the stand-in serves; `model` as in `shipway.testing.stand_in`."""
    package = path / "lib" / "shipway"
    (package / "serving").mkdir(parents=True)
    (path / "model.json").write_text(json.dumps(model))
    (path / "serving.json").write_text(json.dumps({"name": MODEL, "version": "1", "model": "model.json"}))
    if probe is not None:
        (path / "probe.json").write_text(json.dumps(probe))
    for module in ("__init__.py", "serving/__init__.py"):
        (package / module).touch()
    shutil.copy(Path(shipway.__file__).parent / "testing" / "stand_in.py", package / "serving" / "__main__.py")
    return path


def stand_in_release(path: Path, revision: str, model: Mapping[str, Any], **fields: Any) -> Release:
    """A release of a stand-in bundle that is made at `path`; `fields` replace those of the release, `probe` goes to the bundle."""
    bundle = stand_in_bundle(path, model, fields.pop("probe", None))
    version = ModelVersion(
        name=MODEL,
        tree=Digest("0" * 64),
        triple=Triple(code="c", data="d", environment="e"),
        key=Digest("1" * 64),
        run="run-1",
        version=revision.removeprefix("v"),
    )
    settled = {"startup": timedelta(seconds=20), "drain": timedelta(seconds=3), "python": sys.executable, **fields}
    return Release(endpoint="here", revision=revision, model=version, bundle=str(bundle), **settled)


def until(condition: Callable[[], Any], what: str) -> Any:
    """Wait for it to be true and return it."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (found := condition()):
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.01)
    return found


def revision(endpoint: Endpoint, name: str) -> Revision | None:
    return next((rev for rev in endpoint.rollout().revisions if rev.name == name), None)


def wait_for(endpoint: Endpoint, name: str, *states: RevisionState) -> Revision:
    def arrived() -> Revision | None:
        found = revision(endpoint, name)
        if found is not None and found.state is RevisionState.FAILED and RevisionState.FAILED not in states:
            raise AssertionError(f"{name} failed: {found.reason}")
        return found if found is not None and found.state in states else None

    found: Revision = until(arrived, f"{name} to be {' or '.join(states)}")
    return found


def serve(endpoint: Endpoint, release: Release) -> str:
    """Roll out without verification; return the public URL."""
    endpoint.apply(release)
    wait_for(endpoint, release.revision, RevisionState.READY, RevisionState.SERVING)
    endpoint.shift(release.revision, 100)
    url = endpoint.rollout().url
    assert url is not None
    return url


def ask(url: str, *row: float) -> Any:
    with Caller(url) as caller:
        return caller.post(f"/v1/models/{MODEL}:predict", {"instances": [list(row)]}).body["predictions"][0]


def answering(url: str) -> str | None:
    with Caller(url) as caller:
        return caller.get("/v2/health/ready").revision


class Callers:
    """Threads that ask without a pause, half of them on one kept-alive connection, half on a new one each time; they keep what went wrong."""

    def __init__(self, url: str, threads: int = 4) -> None:
        self.url = url
        self.failures: list[str] = []
        self.answers: list[float] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(index % 2 == 0,)) for index in range(threads)]

    @contextmanager
    def asking(self) -> Iterator["Callers"]:
        for thread in self._threads:
            thread.start()
        try:
            until(lambda: len(self.answers) > 20, "first answers")
            yield self
            now = len(self.answers)
            until(lambda: len(self.answers) > now + 20 or self.failures, "answers afterwards")
        finally:
            self._stop.set()
            for thread in self._threads:
                thread.join()

    def _run(self, kept_alive: bool) -> None:
        import http.client

        connection = http.client.HTTPConnection(self.url.removeprefix("http://"), timeout=20)
        body = json.dumps({"instances": [[1, 2]]})
        while not self._stop.is_set():
            try:
                connection.request("POST", f"/v1/models/{MODEL}:predict", body)
                response = connection.getresponse()
                content = response.read()
                if response.status != 200:
                    self.failures.append(f"{response.status} {content!r}")
                else:
                    self.answers.append(json.loads(content)["predictions"][0])
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(repr(error))
                connection.close()
            if not kept_alive:
                connection.close()
        connection.close()


class EndpointConformance:
    """Fixtures to give: `endpoint`, `another`."""

    @pytest.fixture
    def release(self, tmp_path: Path) -> MakeRelease:
        """`release("v2", add=1, mode="exit", startup=…)`: what belongs to the model goes there."""

        def make(name: str, **fields: Any) -> Release:
            model: dict[str, Any] = {
                key: fields.pop(key) for key in ("add", "mode", "poison", "seconds", "lag") if key in fields
            }
            return stand_in_release(tmp_path / "bundles" / name, name, {"add": 0, **model}, **fields)

        return make

    # Coming up

    def test_an_endpoint_that_was_never_used_has_no_revision_and_no_url(self, endpoint: Endpoint) -> None:
        rollout = endpoint.rollout()
        assert (rollout.revisions, rollout.url, rollout.serving) == ((), None, None)

    def test_an_applied_revision_becomes_ready_at_its_own_address_and_takes_no_traffic(
        self, endpoint: Endpoint, release: MakeRelease
    ) -> None:
        endpoint.apply(release("v1", add=10))
        ready = wait_for(endpoint, "v1", RevisionState.READY)
        assert ready.url is not None
        assert (ready.percent, ready.model, ready.version) == (0, MODEL, "1")
        assert ask(ready.url, 1, 2) == 13
        assert endpoint.rollout().serving is None

    def test_applying_twice_is_one_revision(self, endpoint: Endpoint, release: MakeRelease) -> None:
        one = release("v1")
        endpoint.apply(one)
        first = wait_for(endpoint, "v1", RevisionState.READY)
        endpoint.apply(one)
        assert endpoint.rollout().revisions == (first,)

    def test_a_shift_makes_the_public_url_answer_by_the_revision(
        self, endpoint: Endpoint, release: MakeRelease
    ) -> None:
        url = serve(endpoint, release("v1", add=1))
        assert answering(url) == "v1"
        assert ask(url, 1, 2) == 4
        serving = endpoint.rollout().serving
        assert serving is not None
        assert (serving.name, serving.percent) == ("v1", 100)

    def test_a_second_shift_to_what_serves_changes_nothing(self, endpoint: Endpoint, release: MakeRelease) -> None:
        serve(endpoint, release("v1"))
        before = endpoint.rollout()
        endpoint.shift("v1", 100)
        assert endpoint.rollout() == before

    # Taking over

    def test_a_second_revision_takes_over_without_one_failed_request(
        self, endpoint: Endpoint, release: MakeRelease
    ) -> None:
        url = serve(endpoint, release("v1", add=1))
        with Callers(url).asking() as callers:
            assert serve(endpoint, release("v2", add=2)) == url
        assert callers.failures == []
        assert set(callers.answers) == {4, 5}

    def test_once_shift_returns_no_new_connection_reaches_the_one_before(
        self, endpoint: Endpoint, release: MakeRelease
    ) -> None:
        serve(endpoint, release("v1", lag=0.3))
        url = serve(endpoint, release("v2"))
        assert {answering(url) for _ in range(20)} == {"v2"}

    def test_a_request_that_is_being_answered_is_finished_by_the_revision_that_leaves(
        self, endpoint: Endpoint, release: MakeRelease
    ) -> None:
        url = serve(endpoint, release("v1", add=1, seconds=0.5))
        late: list[float] = []
        thread = threading.Thread(target=lambda: late.append(ask(url, 1, 2)))
        thread.start()
        time.sleep(0.1)
        serve(endpoint, release("v2", add=2))
        thread.join()
        assert late == [4]

    def test_the_revision_before_ends_and_can_serve_again(self, endpoint: Endpoint, release: MakeRelease) -> None:
        first = release("v1", add=1)
        serve(endpoint, first)
        serve(endpoint, release("v2", add=2))
        wait_for(endpoint, "v1", RevisionState.ENDED)
        url = serve(endpoint, first)
        assert answering(url) == "v1"
        wait_for(endpoint, "v2", RevisionState.ENDED)

    def test_revisions_are_listed_newest_first(self, endpoint: Endpoint, release: MakeRelease) -> None:
        for name in ("v1", "v2", "v3"):
            endpoint.apply(release(name))
        assert [rev.name for rev in endpoint.rollout().revisions] == ["v3", "v2", "v1"]

    # Going wrong

    @pytest.mark.parametrize(
        ("fields", "reason"),
        [
            ({"mode": "exit"}, "the model does not load"),
            ({"mode": "refuse", "probe": {"instances": [[1, 2]]}}, "refuses everything"),
            ({"mode": "hang", "startup": timedelta(seconds=0.4)}, "not ready within 0.4 s"),
        ],
        ids=["exits", "fails its probe", "hangs"],
    )
    def test_a_revision_that_does_not_come_up_fails_with_its_reason_while_the_old_one_serves(
        self, endpoint: Endpoint, release: MakeRelease, fields: dict[str, Any], reason: str
    ) -> None:
        url = serve(endpoint, release("v1", add=1))
        endpoint.apply(release("v2", **fields))
        failed = wait_for(endpoint, "v2", RevisionState.FAILED)
        assert failed.reason is not None
        assert reason in failed.reason
        with pytest.raises(RolloutError):
            endpoint.shift("v2", 100)
        assert ask(url, 1, 2) == 4
        assert answering(url) == "v1"

    def test_a_failed_revision_is_started_anew_when_it_is_applied_again(
        self, endpoint: Endpoint, release: MakeRelease
    ) -> None:
        broken = release("v1", mode="exit")
        endpoint.apply(broken)
        wait_for(endpoint, "v1", RevisionState.FAILED)
        (Path(broken.bundle) / "model.json").write_text('{"add": 5}')
        assert ask(serve(endpoint, broken), 1, 2) == 8

    def test_a_shift_to_an_unknown_revision_is_refused(self, endpoint: Endpoint, release: MakeRelease) -> None:
        with pytest.raises(NotFoundError):
            endpoint.shift("v9", 100)
        serve(endpoint, release("v1"))
        with pytest.raises(NotFoundError):
            endpoint.shift("v9", 100)

    def test_a_share_of_the_traffic_is_refused_by_an_endpoint_without_canary(
        self, endpoint: Endpoint, release: MakeRelease
    ) -> None:
        if Capability.CANARY in type(endpoint).capabilities:
            pytest.skip("this endpoint can")
        endpoint.apply(release("v1"))
        wait_for(endpoint, "v1", RevisionState.READY)
        with pytest.raises(UnsupportedError):
            endpoint.shift("v1", 10)

    # Looking

    def test_another_instance_sees_and_does_the_same(
        self, endpoint: Endpoint, another: Endpoint, release: MakeRelease
    ) -> None:
        url = serve(endpoint, release("v1"))
        assert another.rollout() == endpoint.rollout()
        assert serve(another, release("v2")) == url
        assert endpoint.rollout().serving == another.rollout().serving

    def test_a_release_comes_back_as_it_was_applied_but_for_the_secrets(
        self, endpoint: Endpoint, release: MakeRelease
    ) -> None:
        one = release("v1", env={"MODE": "fast"}, secrets={"TOKEN": "hush-hush"})
        endpoint.apply(one)
        kept = endpoint.release("v1")
        assert (kept.bundle, kept.python, kept.env, kept.drain) == (one.bundle, one.python, one.env, one.drain)
        assert kept.model == one.model
        assert dict(kept.secrets) == {"TOKEN": ""}
        with pytest.raises(NotFoundError):
            endpoint.release("v9")

    def test_a_kept_release_can_be_applied_while_the_far_side_knows_its_secrets(
        self, endpoint: Endpoint, release: MakeRelease
    ) -> None:
        serve(endpoint, release("v1", secrets={"TOKEN": "hush-hush"}))
        serve(endpoint, release("v2"))
        wait_for(endpoint, "v1", RevisionState.ENDED)
        assert answering(serve(endpoint, endpoint.release("v1"))) == "v1"

    def test_the_rendered_request_is_repeatable_and_without_secrets(
        self, endpoint: Endpoint, release: MakeRelease
    ) -> None:
        one = release("v1", env={"MODE": "fast"}, secrets={"TOKEN": "hush-hush"})
        text = endpoint.render(one)
        assert text == endpoint.render(one)
        assert "fast" in text
        assert "TOKEN" in text
        assert "hush-hush" not in text

    def test_logs_are_the_lines_of_a_revision(self, endpoint: Endpoint, release: MakeRelease) -> None:
        with pytest.raises(NotFoundError):
            endpoint.logs()
        serve(endpoint, release("v1"))
        assert b"serving v1\n" in list(endpoint.logs("v1"))
        assert b"serving v1\n" in list(endpoint.logs())
        with pytest.raises(NotFoundError):
            endpoint.logs("v9")

    # Removing

    def test_a_removed_revision_is_gone_and_the_other_serves_on(self, endpoint: Endpoint, release: MakeRelease) -> None:
        url = serve(endpoint, release("v1"))
        endpoint.apply(release("v2"))
        own = wait_for(endpoint, "v2", RevisionState.READY).url
        endpoint.remove("v2")
        assert revision(endpoint, "v2") is None
        assert own is not None
        with pytest.raises(ShipwayError):
            answering(own)
        assert answering(url) == "v1"
        endpoint.remove("v2")
        endpoint.remove("never-there")

    def test_the_revision_that_serves_is_not_removed_by_itself(self, endpoint: Endpoint, release: MakeRelease) -> None:
        url = serve(endpoint, release("v1"))
        with pytest.raises(ConflictError):
            endpoint.remove("v1")
        assert answering(url) == "v1"

    def test_a_removed_endpoint_answers_no_more_and_can_begin_anew(
        self, endpoint: Endpoint, release: MakeRelease
    ) -> None:
        one = release("v1")
        url = serve(endpoint, one)
        endpoint.remove()
        assert endpoint.rollout().revisions == ()
        with pytest.raises(ShipwayError):
            answering(url)
        endpoint.remove()
        assert answering(serve(endpoint, one)) == "v1"
