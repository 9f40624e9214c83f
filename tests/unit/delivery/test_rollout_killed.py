"""A driver that is killed anywhere in a rollout is replaced by the next: one revision, serving, and what served before never stopped."""

import json
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from shipway.delivery.rollout import check_for, roll_out
from shipway.endpoints import strays
from shipway.endpoints.process import ProcessEndpoint
from shipway.specs.releases import Release
from shipway.specs.stages import EndpointSpec
from shipway.testing.endpoint_conformance import Callers, answering, stand_in_release, until

STEPS = ("applied", "ready", "verified", "shifted", "confirmed")

DRIVER = textwrap.dedent("""
    import os, signal, sys
    from pathlib import Path
    import msgspec
    from shipway.delivery.rollout import check_for, roll_out
    from shipway.endpoints.process import ProcessEndpoint
    from shipway.specs.releases import Release
    from shipway.specs.stages import EndpointSpec

    spec, release = msgspec.json.decode(sys.stdin.buffer.read(), type=tuple[EndpointSpec, Release])

    def at(step):
        if step == "rollout:" + sys.argv[2]:
            os.kill(os.getpid(), signal.SIGKILL)

    roll_out(ProcessEndpoint(spec, Path(sys.argv[1])), release, check_for(release, 1e-6), at)
""")


@pytest.fixture
def endpoint(tmp_path: Path) -> Iterator[ProcessEndpoint]:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        spec = EndpointSpec(name="here", port=sock.getsockname()[1])
    endpoint = ProcessEndpoint(spec, tmp_path / "home")
    yield endpoint
    endpoint.remove()


def release(tmp_path: Path, name: str, add: float) -> Release:
    made = stand_in_release(tmp_path / name, name, {"add": add})
    samples = {"instances": [[1.0, 2.0]], "predictions": [3.0 + add]}
    (Path(made.bundle) / "samples.json").write_text(json.dumps(samples))
    return made


@pytest.mark.slow
@pytest.mark.parametrize("step", STEPS)
def test_a_killed_driver_s_rollout_is_brought_to_its_end(step: str, endpoint: ProcessEndpoint, tmp_path: Path) -> None:
    first, second = release(tmp_path, "v1", 1), release(tmp_path, "v2", 2)
    url = roll_out(endpoint, first, check_for(first, 1e-6)).url
    assert url is not None
    with Callers(url, threads=2).asking() as callers:
        done = subprocess.run(
            [sys.executable, "-c", DRIVER, str(tmp_path / "home"), step],
            input=msgspec.json.encode((endpoint.spec, second)),
            check=False,
        )
        assert done.returncode == -signal.SIGKILL
        after = roll_out(endpoint, second, check_for(second, 1e-6))
    assert callers.failures == []
    assert [rev.name for rev in after.revisions] == ["v2", "v1"]
    assert answering(url) == "v2"
    until(lambda: len(strays.find(endpoint.home)) == 1, "the old revision to end")
