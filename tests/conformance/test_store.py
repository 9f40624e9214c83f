"""The store's contract on the directory store."""

from collections.abc import Callable
from pathlib import Path

import pytest

from shipway.store.base import Store
from shipway.store.directory import DirectoryStore
from shipway.testing.store_conformance import StoreConformance


class TestDirectoryStore(StoreConformance):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Store:
        return DirectoryStore(tmp_path / "store")

    @pytest.fixture
    def reopen(self, tmp_path: Path) -> Callable[[], Store]:
        return lambda: DirectoryStore(tmp_path / "store")
