"""The registry suite on a store's refs, as it is with `tracking: off`."""

import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from shipway.errors import CorruptError, NotFoundError
from shipway.specs.trees import ROOT, Entry, Tree, digest_of
from shipway.store.directory import DirectoryStore
from shipway.testing.tracking_conformance import Register, RegistryConformance, sample
from shipway.tracking.base import ModelRegistry
from shipway.tracking.local import StoreRegistry

RACER = """
import sys
from pathlib import Path
from shipway.specs.trees import Digest
from shipway.store.directory import DirectoryStore
from shipway.testing.tracking_conformance import sample
from shipway.tracking.local import StoreRegistry

registry = StoreRegistry(DirectoryStore(Path(sys.argv[1])))
print("ready", flush=True)
sys.stdin.readline()
for number in range(10):
    print(registry.register(sample("digits", Digest(sys.argv[2]), code=f"c{number}"), Path()).version)
"""


class TestStoreRegistry(RegistryConformance):
    @pytest.fixture(autouse=True)
    def _root(self, tmp_path: Path) -> None:
        self.root = tmp_path / "store"

    def open(self) -> ModelRegistry:
        return StoreRegistry(DirectoryStore(self.root))

    def keep(self, tree: Tree, source: Path) -> None:
        DirectoryStore(self.root).put_tree(tree, source)

    def test_a_tree_that_the_store_lacks_is_not_found(self, registry: ModelRegistry, name: str, tmp_path: Path) -> None:
        (tmp_path / "model").write_bytes(b"x")
        with pytest.raises(NotFoundError, match="not in the store"):
            registry.register(sample(name, digest_of(b"nowhere")), tmp_path / "model")

    def test_refs_lead_to_the_model_so_that_it_is_never_garbage(self, register: Register) -> None:
        made = register(b"one")
        assert made.tree in DirectoryStore(self.root).refs("models/").values()

    def test_a_tree_ref_that_a_crash_left_out_is_made_by_the_next_register(self, name: str, register: Register) -> None:
        made = register(b"one")
        store = DirectoryStore(self.root)
        store.move_ref(f"models/{name}/trees/1", made.tree, None)
        assert register(b"one") == made
        assert store.ref(f"models/{name}/trees/1") == made.tree

    def test_a_version_that_cannot_be_read_is_named(
        self, registry: ModelRegistry, name: str, register: Register
    ) -> None:
        register(b"one")
        store = DirectoryStore(self.root)
        store.move_ref(f"models/{name}/versions/2", None, store.put_bytes(b'{"created": 1}'))
        with pytest.raises(CorruptError, match="version 2"):
            registry.versions(name)

    @pytest.mark.slow
    def test_processes_that_register_at_once_share_versions_and_lose_none(self, tmp_path: Path) -> None:
        content = uuid.uuid4().bytes
        (tmp_path / "model").write_bytes(content)
        tree = Tree((Entry(ROOT, digest_of(content), len(content)),))
        self.keep(tree, tmp_path / "model")
        racers = [
            subprocess.Popen(
                [sys.executable, "-c", RACER, self.root, tree.digest],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for _ in range(3)
        ]
        for racer in racers:
            assert racer.stdout is not None
            assert racer.stdout.readline() == "ready\n"
        for racer in racers:
            assert racer.stdin is not None
            racer.stdin.write("\n")
            racer.stdin.flush()
        answers = [racer.communicate(timeout=400)[0].split() for racer in racers]
        assert answers[0] == answers[1] == answers[2]
        assert sorted(map(int, answers[0])) == list(range(1, 11))
