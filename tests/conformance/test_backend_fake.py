"""The fake backend passes the suite that every backend has to pass."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from shipway.backends.base import Backend
from shipway.store.base import Store
from shipway.store.views import Views
from shipway.testing.backend_conformance import BackendConformance
from shipway.testing.fake_backend import FakeBackend, FarSide


class TestFake(BackendConformance):
    @pytest.fixture
    def far(self) -> Iterator[FarSide]:
        far = FarSide()
        yield far
        far.close()

    @pytest.fixture
    def backend(self, reopen: Callable[[], Backend]) -> Backend:
        return reopen()

    @pytest.fixture
    def reopen(self, tmp_path: Path, store: Store, far: FarSide) -> Callable[[], Backend]:
        return lambda: FakeBackend(tmp_path / "workspace", store, Views(tmp_path / "views", store), far=far)

    @pytest.fixture
    def kept(self, tmp_path: Path) -> Callable[[], bytes]:
        def read() -> bytes:
            found = [path for path in (tmp_path / "workspace").rglob("*") if not path.is_symlink()]
            return b"\n".join(str(path).encode() + (path.read_bytes() if path.is_file() else b"") for path in found)

        return read
