"""Registering what a gate let through."""

from pathlib import Path

import pytest

from shipway.delivery.register import promote_champion, register
from shipway.errors import NotFoundError, UsageError
from shipway.specs.models import ModelVersion
from shipway.specs.trees import ROOT, Entry, Tree, digest_of
from shipway.store.directory import DirectoryStore
from shipway.testing.tracking_conformance import sample
from shipway.tracking.memory import MemoryRegistry


class Watching(MemoryRegistry):
    """Remembers the files that it was given."""

    def register(self, version: ModelVersion, source: Path, *, tracked: str | None = None) -> ModelVersion:
        self.tracked = tracked
        files = [source] if source.is_file() else [path for path in source.rglob("*") if path.is_file()]
        self.given = {str(path.relative_to(source.parent)): path.read_bytes() for path in files}
        return super().register(version, source, tracked=tracked)


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    return DirectoryStore(tmp_path / "store")


@pytest.fixture
def version(store: DirectoryStore, tmp_path: Path) -> ModelVersion:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights").write_bytes(b"w")
    tree = Tree((Entry("weights", digest_of(b"w"), 1),))
    return sample("digits", store.put_tree(tree, tmp_path / "model"))


def test_a_registered_model_is_the_challenger(store: DirectoryStore, version: ModelVersion) -> None:
    registry = Watching()
    made = register(registry, version, store, "tracked-1")
    assert (made.version, made.aliases) == ("1", ("challenger",))
    assert registry.resolve("digits", "challenger") == made
    assert registry.given == {"model/weights": b"w"}
    assert registry.tracked == "tracked-1"


def test_registering_again_changes_nothing(store: DirectoryStore, version: ModelVersion) -> None:
    registry = MemoryRegistry()
    assert register(registry, version, store, None) == register(registry, version, store, None)
    assert len(registry.versions("digits")) == 1


def test_an_older_model_that_wins_again_is_the_challenger_again(store: DirectoryStore, version: ModelVersion) -> None:
    registry = MemoryRegistry()
    register(registry, version, store, None)
    newer = sample("digits", version.tree, code="newer")
    register(registry, newer, store, None)
    assert register(registry, version, store, None).aliases == ("challenger",)
    assert registry.versions("digits")[0].aliases == ()


def test_a_model_of_one_file_keeps_its_name(store: DirectoryStore, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"joblib")
    tree = store.put_tree(Tree((Entry(ROOT, digest_of(b"joblib"), 6),)), tmp_path / "x")
    registry = Watching()
    register(registry, sample("digits", tree), store, None, file_name="model.joblib")
    assert registry.given == {"model.joblib": b"joblib"}


def test_an_empty_model_is_refused(store: DirectoryStore, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    tree = store.put_tree(Tree(()), tmp_path / "empty")
    with pytest.raises(UsageError, match="digits is an empty directory"):
        register(MemoryRegistry(), sample("digits", tree), store, None)


def test_a_champion_may_be_promoted_twice_but_not_a_stranger(store: DirectoryStore, version: ModelVersion) -> None:
    registry = MemoryRegistry()
    register(registry, version, store, None)
    promote_champion(registry, "digits", "1")
    promote_champion(registry, "digits", "1")
    assert registry.versions("digits")[0].aliases == ("challenger", "champion")
    with pytest.raises(NotFoundError):
        promote_champion(registry, "digits", "7")
