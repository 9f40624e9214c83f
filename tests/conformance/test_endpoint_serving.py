"""The process endpoint with the real model server: packed, rolled out and taken over under load."""

import json
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from shipway.delivery.pack import Pack, pack
from shipway.delivery.rollout import check_for, roll_back, roll_out
from shipway.endpoints import strays
from shipway.endpoints.registry import open_endpoint
from shipway.errors import RolloutError
from shipway.specs.models import ModelVersion, Triple
from shipway.specs.releases import Release
from shipway.specs.stages import EndpointSpec
from shipway.specs.trees import Digest
from shipway.store.directory import DirectoryStore
from shipway.store.hashing import Scanner
from shipway.testing.endpoint_conformance import MODEL, Callers, answering, until

MODEL_PY = """
class Model:
    batchable = True

    def __init__(self, directory):
        pass

    def predict(self, inputs):
        return {"output-0": inputs["input-0"].sum(axis=1) + ADD}
"""


class Harbour:
    """A store, an endpoint at a free port, and versions of a model that adds."""

    def __init__(self, root: Path) -> None:
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            self.spec = EndpointSpec(name="here", port=sock.getsockname()[1])
        self.root = root
        self.store = DirectoryStore(root / "store")
        self.endpoint = open_endpoint(self.spec, root / "home")

    def release(self, number: int, code: str = MODEL_PY) -> Release:
        source = self.root / f"model-{number}"
        source.mkdir()
        (source / "predict.py").write_text(f"ADD = {number}\n{code}")
        scan = Scanner(self.root / "scans").scan(source)
        self.store.put_tree(scan.tree, source)
        version = ModelVersion(
            name=MODEL,
            tree=scan.digest,
            triple=Triple(code="c", data="d", environment="e"),
            key=Digest("1" * 64),
            run="run-1",
            version=str(number),
        )
        samples = {"instances": [[1.0, 2.0], [3.0, 4.0]], "predictions": [3.0 + number, 7.0 + number]}
        what = Pack(model=version, endpoint=self.spec, python=sys.executable, samples=json.dumps(samples).encode())
        return pack(what, self.store, self.root / "home")


@pytest.fixture
def harbour(tmp_path: Path) -> Iterator[Harbour]:
    harbour = Harbour(tmp_path)
    yield harbour
    harbour.endpoint.remove()


@pytest.mark.slow
def test_versions_take_over_from_each_other_and_back_without_one_failed_request(harbour: Harbour) -> None:
    first = harbour.release(1)
    url = roll_out(harbour.endpoint, first, check_for(first, 1e-6)).url
    assert url is not None
    with Callers(url).asking() as callers:
        for number in (2, 3):
            release = harbour.release(number)
            roll_out(harbour.endpoint, release, check_for(release, 1e-6))
        roll_back(harbour.endpoint, first.revision, 1e-6)
    assert callers.failures == []
    assert set(callers.answers) == {4, 5, 6}
    assert answering(url) == first.revision
    until(lambda: len(strays.find(harbour.root / "home" / "here")) == 1, "the others to end")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("raise RuntimeError('no such weights')", "no such weights"),
        (MODEL_PY.replace("sum(axis=1) + ADD", "missing"), "does not answer"),
    ],
    ids=["does not load", "fails its probe"],
)
def test_a_version_that_does_not_come_up_is_told_with_the_server_s_words(
    harbour: Harbour, code: str, reason: str
) -> None:
    first = harbour.release(1)
    url = roll_out(harbour.endpoint, first, check_for(first, 1e-6)).url
    broken = harbour.release(2, code)
    with pytest.raises(RolloutError, match=reason):
        roll_out(harbour.endpoint, broken, check_for(broken, 1e-6))
    assert url is not None
    assert answering(url) == first.revision
