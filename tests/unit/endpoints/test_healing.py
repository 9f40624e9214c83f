"""What happens when a process dies that should not have: the model, its keeper, or the one who called."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from shipway.delivery.calls import Caller
from shipway.endpoints import control, strays, waking
from shipway.endpoints.process import ProcessEndpoint
from shipway.errors import RolloutError, ShipwayError
from shipway.specs.releases import RevisionState
from shipway.testing.endpoint_conformance import (
    MODEL,
    answering,
    ask,
    revision,
    serve,
    stand_in_release,
    until,
    wait_for,
)


def keeper(endpoint: ProcessEndpoint) -> int:
    pid: int = control.ask(endpoint.home, {"do": "status"})["pid"]
    return pid


def kill_keeper(endpoint: ProcessEndpoint) -> None:
    os.kill(keeper(endpoint), signal.SIGKILL)
    until(lambda: not waking.lives(endpoint.home), "the keeper to be dead")


def poison(url: str) -> None:
    with Caller(url) as caller, pytest.raises(ShipwayError):
        caller.post(f"/v1/models/{MODEL}:predict", {"instances": [[-1, 0]]})


def test_a_model_that_died_is_started_again_and_callers_wait_for_it(endpoint: ProcessEndpoint, tmp_path: Path) -> None:
    url = serve(endpoint, stand_in_release(tmp_path / "b1", "v1", {"add": 1}))
    first = endpoint.rollout().serving
    assert first is not None
    assert first.pid is not None
    os.kill(first.pid, signal.SIGKILL)
    assert ask(url, 1, 2) == 4
    again = wait_for(endpoint, "v1", RevisionState.SERVING)
    assert again.pid != first.pid
    assert endpoint.rollout().url == url


@pytest.mark.slow
def test_a_model_that_dies_again_and_again_is_given_up_and_callers_are_told(
    endpoint: ProcessEndpoint, tmp_path: Path
) -> None:
    url = serve(endpoint, stand_in_release(tmp_path / "b1", "v1", {"add": 1, "poison": -1}))

    def given_up() -> bool:
        found = revision(endpoint, "v1")
        if found is not None and found.state is RevisionState.SERVING:
            poison(url)
        return found is not None and found.state is RevisionState.FAILED

    until(given_up, "the keeper to give up")
    failed = revision(endpoint, "v1")
    assert failed is not None
    assert failed.reason is not None
    assert failed.reason.startswith("died 5 times in a row, last: ended by itself with exit code 3\nserving b1")
    with pytest.raises(ShipwayError, match="503: v1 has failed"):
        ask(url, 1, 2)
    # Another revision takes over what the failed one held.
    assert serve(endpoint, stand_in_release(tmp_path / "b2", "v2", {"add": 2})) == url
    assert ask(url, 1, 2) == 5


def test_the_next_call_heals_what_a_killed_keeper_left(endpoint: ProcessEndpoint, tmp_path: Path) -> None:
    url = serve(endpoint, stand_in_release(tmp_path / "b1", "v1", {"add": 1}))
    before = endpoint.rollout().serving
    kill_keeper(endpoint)
    endpoint.rollout()
    after = wait_for(endpoint, "v1", RevisionState.SERVING)
    assert ask(url, 1, 2) == 4
    assert before is not None
    assert after.pid != before.pid
    assert strays.find(endpoint.home) == [after.pid]


def test_applying_after_a_killed_keeper_takes_over_from_what_served(endpoint: ProcessEndpoint, tmp_path: Path) -> None:
    serve(endpoint, stand_in_release(tmp_path / "b1", "v1", {"add": 1}))
    kill_keeper(endpoint)
    url = serve(endpoint, stand_in_release(tmp_path / "b2", "v2", {"add": 2}))
    assert answering(url) == "v2"
    wait_for(endpoint, "v1", RevisionState.ENDED)


def test_a_keeper_that_is_told_to_end_leaves_its_revision_for_the_next(
    endpoint: ProcessEndpoint, tmp_path: Path
) -> None:
    release = stand_in_release(tmp_path / "b1", "v1", {"add": 1})
    url = serve(endpoint, release)
    os.kill(keeper(endpoint), signal.SIGTERM)
    until(lambda: not waking.lives(endpoint.home), "the keeper to end")
    assert strays.find(endpoint.home) == []
    endpoint.apply(release)
    wait_for(endpoint, "v1", RevisionState.SERVING)
    assert ask(url, 1, 2) == 4


def test_what_a_model_started_itself_dies_too_once_its_keeper_is_replaced(
    endpoint: ProcessEndpoint, tmp_path: Path
) -> None:
    release = stand_in_release(tmp_path / "b1", "v1", {"add": 1})
    main = Path(release.bundle) / "lib/shipway/serving/__main__.py"
    code = 'import subprocess\nsubprocess.Popen(["sleep", "300"], start_new_session=True)\n'
    main.write_text(code + main.read_text())
    serve(endpoint, release)
    assert len(strays.find(endpoint.home)) == 2
    kill_keeper(endpoint)
    endpoint.rollout()
    wait_for(endpoint, "v1", RevisionState.SERVING)
    until(lambda: len(strays.find(endpoint.home)) == 2, "the old child to be gone and a new one there")


def test_a_secret_that_went_with_the_keeper_is_asked_for(endpoint: ProcessEndpoint, tmp_path: Path) -> None:
    release = stand_in_release(tmp_path / "b1", "v1", {"add": 1}, secrets={"TOKEN": "hush-hush"})
    url = serve(endpoint, release)
    kill_keeper(endpoint)
    failed = wait_for(endpoint, "v1", RevisionState.FAILED)
    assert failed.reason is not None
    assert "needs the secret TOKEN" in failed.reason
    with pytest.raises(RolloutError, match="needs the secret TOKEN"):
        endpoint.apply(endpoint.release("v1"))
    serve(endpoint, release)
    assert ask(url, 1, 2) == 4


def test_the_model_serves_on_when_whoever_applied_it_is_gone(endpoint: ProcessEndpoint, tmp_path: Path) -> None:
    release = stand_in_release(tmp_path / "b1", "v1", {"add": 1})
    code = textwrap.dedent(f"""
        import msgspec, sys
        from pathlib import Path
        from shipway.endpoints.process import ProcessEndpoint
        from shipway.specs.releases import Release
        from shipway.specs.stages import EndpointSpec
        from shipway.testing.endpoint_conformance import serve
        endpoint = ProcessEndpoint(EndpointSpec(name="here", port={endpoint.spec.port}), Path({str(endpoint.home.parent)!r}))
        serve(endpoint, msgspec.json.decode(sys.stdin.buffer.read(), type=Release))
    """)
    import msgspec

    subprocess.run([sys.executable, "-c", code], input=msgspec.json.encode(release), check=True, start_new_session=True)
    assert ask(f"http://127.0.0.1:{endpoint.spec.port}", 1, 2) == 4
    assert keeper(endpoint) not in (os.getpid(), os.getppid())


def test_two_who_apply_at_once_share_one_keeper(endpoint: ProcessEndpoint, tmp_path: Path) -> None:
    code = textwrap.dedent(f"""
        import sys
        from pathlib import Path
        from shipway.endpoints.process import ProcessEndpoint
        from shipway.specs.stages import EndpointSpec
        from shipway.testing.endpoint_conformance import stand_in_release, wait_for
        from shipway.specs.releases import RevisionState
        endpoint = ProcessEndpoint(EndpointSpec(name="here", port={endpoint.spec.port}), Path({str(endpoint.home.parent)!r}))
        name = sys.argv[1]
        endpoint.apply(stand_in_release(Path({str(tmp_path)!r}) / name, name, {{"add": 1}}))
        wait_for(endpoint, name, RevisionState.READY)
    """)
    both = [subprocess.Popen([sys.executable, "-c", code, name]) for name in ("v1", "v2")]
    assert [process.wait(60) for process in both] == [0, 0]
    assert {rev.state for rev in endpoint.rollout().revisions} == {RevisionState.READY}
    assert len(endpoint.rollout().revisions) == 2
    assert len(strays.find(endpoint.home)) == 2
