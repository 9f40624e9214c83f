"""Names lead to backends, and only what is asked for is imported."""

import importlib.metadata
import subprocess
import sys

import pytest

from shipway.backends import registry
from shipway.backends.process import ProcessBackend
from shipway.backends.registry import backend_class
from shipway.errors import ConfigError
from shipway.testing.fake_backend import FakeBackend


def plug_in(monkeypatch: pytest.MonkeyPatch, **points: str) -> None:
    group = [importlib.metadata.EntryPoint(name, value, registry.GROUP) for name, value in points.items()]
    monkeypatch.setattr("importlib.metadata.entry_points", lambda *, group: points_of(group))

    def points_of(asked: str) -> list[importlib.metadata.EntryPoint]:
        return [point for point in group if point.group == asked]


def test_built_in_kinds_are_found_without_looking_at_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_plugins", None)
    assert backend_class("process") is ProcessBackend


def test_a_plugin_is_found_by_its_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    plug_in(monkeypatch, fake="shipway.testing.fake_backend:FakeBackend")
    assert backend_class("fake") is FakeBackend


def test_an_unknown_kind_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="'proces'") as raised:
        backend_class("proces")
    assert raised.value.hint == "did you mean 'process'?"


def test_a_kind_like_no_other_is_told_all_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    plug_in(monkeypatch, fake="shipway.testing.fake_backend:FakeBackend")
    with pytest.raises(ConfigError) as raised:
        backend_class("zzz")
    assert raised.value.hint == "one of: fake, process"


@pytest.mark.parametrize("value", ["no_such_module:Backend", "shipway.testing.fake_backend:Nothing"])
def test_a_plugin_that_cannot_be_imported_is_named(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    plug_in(monkeypatch, broken=value)
    with pytest.raises(ConfigError, match="'broken'"):
        backend_class("broken")


def test_a_plugin_that_is_no_backend_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    plug_in(monkeypatch, wrong="pathlib:Path")
    with pytest.raises(ConfigError, match="pathlib:Path is not a backend"):
        backend_class("wrong")


def test_the_registry_imports_no_adapter_and_no_plugin_machinery() -> None:
    code = "import sys, shipway.backends.registry as r; print({'shipway.backends.process', 'importlib.metadata', 'difflib'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


def test_the_process_backend_starts_light() -> None:
    heavy = "{'asyncio', 'concurrent.futures', 'difflib', 'json', 'pydantic', 'importlib.metadata'}"
    code = f"import sys, shipway.backends.process; print({heavy} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
