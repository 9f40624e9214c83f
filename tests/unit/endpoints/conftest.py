"""A process endpoint at a free port, ended after the test."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from shipway.endpoints.process import ProcessEndpoint
from shipway.specs.stages import EndpointSpec


@pytest.fixture
def spec() -> EndpointSpec:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return EndpointSpec(name="here", port=sock.getsockname()[1])


@pytest.fixture
def endpoint(spec: EndpointSpec, tmp_path: Path) -> Iterator[ProcessEndpoint]:
    endpoint = ProcessEndpoint(spec, tmp_path / "home")
    yield endpoint
    endpoint.remove()
