"""The fake endpoint keeps the contract of all endpoints."""

from collections.abc import Iterator

import pytest

from shipway.testing.endpoint_conformance import EndpointConformance
from shipway.testing.fake_endpoint import FakeEndpoint, FakePlace


class TestFakeEndpoint(EndpointConformance):
    @pytest.fixture
    def place(self) -> Iterator[FakePlace]:
        place = FakePlace()
        yield place
        place.close()

    @pytest.fixture
    def endpoint(self, place: FakePlace) -> FakeEndpoint:
        return FakeEndpoint("here", place)

    @pytest.fixture
    def another(self, place: FakePlace) -> FakeEndpoint:
        return FakeEndpoint("here", place)
