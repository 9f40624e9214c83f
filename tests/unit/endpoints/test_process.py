"""The process endpoint's own promises: its port, its directory, its secrets, its leavings."""

import os
import socket
import stat
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from shipway.endpoints import strays, waking
from shipway.endpoints.process import ProcessEndpoint
from shipway.errors import ConflictError, NotFoundError, RolloutError, ShipwayError
from shipway.specs.releases import RevisionState
from shipway.specs.stages import EndpointSpec
from shipway.testing.endpoint_conformance import answering, ask, revision, serve, stand_in_release, until, wait_for


def test_a_port_that_another_program_has_is_an_error_that_names_it(endpoint: ProcessEndpoint, tmp_path: Path) -> None:
    port = endpoint.spec.port
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        for act in (endpoint.check, lambda: endpoint.apply(stand_in_release(tmp_path / "b1", "v1", {"add": 1}))):
            with pytest.raises(RolloutError, match=f"port {port} on 127.0.0.1 is in use by another program") as caught:
                act()
            assert "Errno" not in caught.value.message
            assert "another port" in str(caught.value.hint)
        failed = revision(endpoint, "v1")
        assert failed is not None
        assert failed.reason == f"port {port} on 127.0.0.1 is in use by another program"
        with pytest.raises(
            RolloutError, match="in use by another program"
        ):  # its keeper lives, but does not hold the port
            endpoint.check()
    endpoint.check()
    serve(endpoint, stand_in_release(tmp_path / "b2", "v2", {"add": 1}))


def test_a_port_that_its_own_keeper_has_is_no_matter(endpoint: ProcessEndpoint, tmp_path: Path) -> None:
    endpoint.check()
    url = serve(endpoint, stand_in_release(tmp_path / "b1", "v1", {"add": 1}))
    endpoint.check()
    assert answering(url) == "v1"


@pytest.mark.parametrize(
    "ask_for",
    [
        lambda endpoint: endpoint.release("v9"),
        lambda endpoint: endpoint.logs("v9"),
        lambda endpoint: endpoint.shift("v9", 100),
        lambda endpoint: endpoint.shift("v9", 0),
    ],
)
def test_whoever_asks_for_a_revision_that_is_not_there_is_told_which_are(
    endpoint: ProcessEndpoint, tmp_path: Path, ask_for: Callable[[ProcessEndpoint], object]
) -> None:
    with pytest.raises(NotFoundError) as before:
        ask_for(endpoint)
    assert before.value.hint == "there is none yet: `shipway ship` rolls a model out"
    endpoint.apply(stand_in_release(tmp_path / "b1", "v1", {"add": 1}))
    endpoint.apply(stand_in_release(tmp_path / "b2", "v2", {"add": 1}))
    with pytest.raises(NotFoundError) as after:
        ask_for(endpoint)
    assert str(after.value.hint).removeprefix("revisions are: ") in ("v2, v1", "v1, v2")


def test_before_the_first_shift_callers_of_the_public_address_are_told(
    endpoint: ProcessEndpoint, tmp_path: Path
) -> None:
    endpoint.apply(stand_in_release(tmp_path / "b1", "v1", {"add": 1}))
    wait_for(endpoint, "v1", RevisionState.READY)
    with pytest.raises(ShipwayError, match="503: no revision serves yet"):
        ask(f"http://127.0.0.1:{endpoint.spec.port}", 1, 2)


def test_no_secret_reaches_the_disk_or_an_argv(endpoint: ProcessEndpoint, tmp_path: Path) -> None:
    serve(endpoint, stand_in_release(tmp_path / "b1", "v1", {"add": 1}, secrets={"TOKEN": "hush-hush-hush"}))
    serving = endpoint.rollout().serving
    assert serving is not None
    files = [path for path in endpoint.home.rglob("*") if path.is_file()]
    assert any(b"TOKEN" in path.read_bytes() for path in files)
    assert not any(b"hush-hush" in path.read_bytes() for path in files)
    assert b"hush-hush" not in Path(f"/proc/{serving.pid}/cmdline").read_bytes()
    assert b"TOKEN=hush-hush-hush" in Path(f"/proc/{serving.pid}/environ").read_bytes()


def test_what_it_keeps_is_its_owners_alone(endpoint: ProcessEndpoint, tmp_path: Path) -> None:
    serve(endpoint, stand_in_release(tmp_path / "b1", "v1", {"add": 1}))
    assert stat.S_IMODE(endpoint.home.stat().st_mode) == 0o700
    for path in endpoint.home.rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_the_model_sees_what_its_endpoint_declares_and_not_the_callers_tokens(
    endpoint: ProcessEndpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CALLERS_TOKEN", "mine")
    serve(endpoint, stand_in_release(tmp_path / "b1", "v1", {"add": 1}, env={"MODE": "fast"}))
    serving = endpoint.rollout().serving
    assert serving is not None
    environ = Path(f"/proc/{serving.pid}/environ").read_bytes()
    assert b"MODE=fast" in environ
    assert b"CALLERS_TOKEN" not in environ


def test_a_removed_endpoint_leaves_no_process_and_no_file(endpoint: ProcessEndpoint, tmp_path: Path) -> None:
    serve(endpoint, stand_in_release(tmp_path / "b1", "v1", {"add": 1}))
    endpoint.apply(stand_in_release(tmp_path / "b2", "v2", {"add": 1}))
    assert len(strays.find(endpoint.home)) == 2
    endpoint.remove()
    assert strays.find(endpoint.home) == []
    assert not waking.lives(endpoint.home)
    assert not endpoint.home.exists()


def test_removing_the_last_revision_ends_the_keeper(endpoint: ProcessEndpoint, tmp_path: Path) -> None:
    endpoint.apply(stand_in_release(tmp_path / "b1", "v1", {"mode": "exit", "add": 0}))
    wait_for(endpoint, "v1", RevisionState.FAILED)
    endpoint.remove("v1")
    until(lambda: not waking.lives(endpoint.home), "the keeper to end")


def test_a_directory_too_deep_for_a_sockets_path_is_no_matter(spec: EndpointSpec, tmp_path: Path) -> None:
    deep = ProcessEndpoint(spec, tmp_path / ("deep" * 20) / ("deeper" * 20))
    try:
        url = serve(deep, stand_in_release(tmp_path / "b1", "v1", {"add": 1}))
        assert answering(url) == "v1"
    finally:
        deep.remove()


def test_another_port_is_taken_with_the_next_revision(
    endpoint: ProcessEndpoint, spec: EndpointSpec, tmp_path: Path
) -> None:
    old = serve(endpoint, stand_in_release(tmp_path / "b1", "v1", {"add": 1}))
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        moved = ProcessEndpoint(msgspec.structs.replace(spec, port=sock.getsockname()[1]), tmp_path / "home")
    new = serve(moved, stand_in_release(tmp_path / "b2", "v2", {"add": 2}))
    assert new == f"http://127.0.0.1:{moved.spec.port}"
    assert ask(new, 1, 2) == 5
    wait_for(moved, "v1", RevisionState.ENDED)
    with pytest.raises(ShipwayError):
        answering(old)


@pytest.mark.slow
def test_only_the_last_revisions_are_kept_and_bundles_go_with_them(endpoint: ProcessEndpoint, tmp_path: Path) -> None:
    for number in range(1, 8):
        bundle = endpoint.home / "bundles" / str(number)
        serve(endpoint, stand_in_release(bundle, f"v{number}", {"add": number}, drain=timedelta(seconds=1)))
    until(lambda: revision(endpoint, "v2") is None, "the oldest to be forgotten")
    assert [rev.name for rev in endpoint.rollout().revisions] == ["v7", "v6", "v5", "v4", "v3"]
    assert sorted(path.name for path in (endpoint.home / "bundles").iterdir()) == ["3", "4", "5", "6", "7"]


def test_taking_the_traffic_from_the_one_that_serves_alone_is_refused(
    endpoint: ProcessEndpoint, tmp_path: Path
) -> None:
    serve(endpoint, stand_in_release(tmp_path / "b1", "v1", {"add": 1}))
    with pytest.raises(ConflictError):
        endpoint.shift("v1", 0)


def test_a_bundle_that_is_gone_is_an_error_before_anything_starts(endpoint: ProcessEndpoint, tmp_path: Path) -> None:
    release = stand_in_release(tmp_path / "b1", "v1", {"add": 1})
    with pytest.raises(RolloutError, match="is not there"):
        endpoint.apply(msgspec.structs.replace(release, bundle=str(tmp_path / "gone")))
    assert endpoint.rollout().revisions == ()


def test_an_interpreter_that_is_gone_fails_the_revision(endpoint: ProcessEndpoint, tmp_path: Path) -> None:
    with pytest.raises(RolloutError, match="no-such-python"):
        endpoint.apply(stand_in_release(tmp_path / "b1", "v1", {"add": 1}, python=str(tmp_path / "no-such-python")))


def test_logs_that_are_followed_end_with_the_revision(endpoint: ProcessEndpoint, tmp_path: Path) -> None:
    release = stand_in_release(tmp_path / "b1", "v1", {"add": 1})
    endpoint.apply(release)
    pid = wait_for(endpoint, "v1", RevisionState.READY).pid
    lines = endpoint.logs("v1", follow=True)
    assert next(lines) == b"serving b1\n"
    assert pid is not None
    os.kill(pid, 15)
    assert list(lines) == []
