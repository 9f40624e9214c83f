"""The process endpoint keeps the contract of all endpoints, with real processes."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from shipway.endpoints.process import ProcessEndpoint
from shipway.specs.stages import EndpointSpec
from shipway.testing.endpoint_conformance import EndpointConformance


@pytest.fixture
def spec() -> EndpointSpec:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return EndpointSpec(name="here", port=sock.getsockname()[1])


class TestProcessEndpoint(EndpointConformance):
    @pytest.fixture
    def endpoint(self, spec: EndpointSpec, tmp_path: Path) -> Iterator[ProcessEndpoint]:
        endpoint = ProcessEndpoint(spec, tmp_path / "home")
        yield endpoint
        endpoint.remove()

    @pytest.fixture
    def another(self, endpoint: ProcessEndpoint, tmp_path: Path) -> ProcessEndpoint:
        return ProcessEndpoint(endpoint.spec, tmp_path / "home")
