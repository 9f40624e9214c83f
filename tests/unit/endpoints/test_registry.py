"""Kinds of endpoints are found by name, ours and those of plugins."""

from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from shipway.endpoints import registry
from shipway.endpoints.process import ProcessEndpoint
from shipway.errors import UsageError
from shipway.specs.stages import EndpointSpec


def plugin(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    entry = EntryPoint("special", value, registry.GROUP)
    monkeypatch.setattr(registry, "entry_points", lambda group, name="special": [entry] if name == "special" else [])


def test_the_process_kind_is_ours(tmp_path: Path) -> None:
    endpoint = registry.open_endpoint(EndpointSpec(name="here"), tmp_path)
    assert isinstance(endpoint, ProcessEndpoint)
    assert not (tmp_path / "here").exists()


def test_an_unknown_kind_is_an_error_that_lists_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no endpoint kind 'kubernets'") as caught:
        registry.open_endpoint(EndpointSpec(name="here", kind="kubernets"), tmp_path)
    assert caught.value.hint is not None
    assert "process" in caught.value.hint


def test_a_plugin_s_kind_is_loaded_when_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    plugin(monkeypatch, "shipway.testing.fake_endpoint:FakeEndpoint")
    assert registry.kinds() == ("process", "special")
    assert registry.endpoint_class("special").kind == "fake"


def test_a_plugin_that_is_no_endpoint_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    plugin(monkeypatch, "pathlib:Path")
    with pytest.raises(UsageError, match="is no Endpoint"):
        registry.endpoint_class("special")
