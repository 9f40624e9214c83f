"""Outputs at their paths in the project: what a person put there is never lost."""

import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from shipway.errors import UsageError
from shipway.pipeline.place import Placer, place
from shipway.specs.trees import Digest
from shipway.store.directory import DirectoryStore
from shipway.store.hashing import Scanner
from shipway.store.views import Views

Make = Callable[[Mapping[str, str]], Digest]

MANY = {f"{number}.txt": f"{number}\n" for number in range(300)}


@pytest.fixture
def placer(tmp_path: Path) -> Placer:
    root = tmp_path / "project"
    home = root / ".shipway"
    home.mkdir(parents=True)
    store = DirectoryStore(home / "store")
    return Placer(root, home, store, Views(home / "views", store), Scanner(home / "cache" / "stat"))


@pytest.fixture
def make(placer: Placer, tmp_path: Path) -> Make:
    """Returns a function that stores a directory, or a single file under the name "."."""
    made = tmp_path / "made"

    def make(files: Mapping[str, str]) -> Digest:
        source = made / str(len(list(made.glob("*"))))
        for name, text in files.items():
            path = source if name == "." else source / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        scan = Scanner(tmp_path / "scans").scan(source)
        return placer.store.put_tree(scan.tree, source, digest=scan.digest)

    return make


def aside(placer: Placer) -> list[str]:
    """What was moved aside."""
    return sorted(path.read_text() for path in (placer.home / "replaced").rglob("*") if path.is_file())


def test_an_output_that_we_placed_is_replaced_without_a_trace(placer: Placer, make: Make) -> None:
    place(placer, {"model": make({"a": "1"})})
    assert place(placer, {"model": make({"a": "2"})}) == []
    assert (placer.root / "model" / "a").read_text() == "2"
    assert aside(placer) == []


def test_what_a_person_changed_is_moved_aside(placer: Placer, make: Make) -> None:
    place(placer, {"model": make({"a": "1"})})
    (placer.root / "model" / "a").write_text("mine")
    assert place(placer, {"model": make({"a": "2"})}) == ["model"]
    assert aside(placer) == ["mine"]


def test_a_repository_that_a_person_began_inside_an_output_is_moved_aside(placer: Placer, make: Make) -> None:
    place(placer, {"model": make({"a": "1"})})
    (placer.root / "model" / ".git").mkdir()
    (placer.root / "model" / ".git" / "HEAD").write_text("mine")
    assert place(placer, {"model": make({"a": "2"})}) == ["model"]
    assert aside(placer) == ["1", "mine"]


def test_two_things_moved_aside_within_a_second_are_both_kept(placer: Placer, make: Make) -> None:
    for text in ("first", "second", "third"):
        (placer.root / "out.txt").write_text(text)
        (placer.home / "cache" / "placed").unlink(missing_ok=True)
        place(placer, {"out.txt": make({".": f"made after {text}"})})
    assert aside(placer) == ["first", "second", "third"]


@pytest.mark.parametrize("there", ["same", "other", "nothing"])
def test_a_link_that_a_person_put_there_is_moved_aside_and_not_followed(
    placer: Placer, make: Make, tmp_path: Path, there: str
) -> None:
    place(placer, {"model": make({"a": "1"})})
    disk = tmp_path / "disk"
    (placer.root / "model").rename(disk)
    if there == "other":
        (disk / "a").write_text("mine")
    (placer.root / "model").symlink_to(disk if there != "nothing" else tmp_path / "gone")
    assert place(placer, {"model": make({"a": "2"})}) == ["model"]
    assert (placer.root / "model" / "a").read_text() == "2"
    assert (disk / "a").read_text() == ("mine" if there == "other" else "1")


def test_an_output_below_what_was_a_file_gets_its_place(placer: Placer, make: Make) -> None:
    (placer.root / "data").write_text("mine")
    assert place(placer, {"data/out.txt": make({".": "made"})}) == ["data/out.txt"]
    assert (placer.root / "data" / "out.txt").read_text() == "made"
    assert aside(placer) == ["mine"]


def test_an_output_below_what_was_a_linked_one_is_not_written_into_the_shared_copy(placer: Placer, make: Make) -> None:
    many = make(MANY)
    place(placer, {"data": many})
    assert (placer.root / "data").is_symlink()
    place(placer, {"data/0.txt": make({".": "made"})})
    assert (placer.root / "data" / "0.txt").read_text() == "made"
    assert (placer.views.view(many) / "0.txt").read_text() == "0\n"


def test_a_part_that_a_killed_process_left_is_not_taken_for_the_whole(placer: Placer, make: Make) -> None:
    tree = make({"a": "1", "b": "1"})
    place(placer, {"model": tree})
    (placer.root / "model" / "a").unlink()
    (placer.root / "model" / "b").unlink()
    (placer.root / "model").rmdir()

    class Killed(BaseException):
        """As SIGKILL is: nobody cleans up."""

    class Dying(DirectoryStore):
        def checkout(self, digest: Digest, target: Path) -> None:
            target.mkdir()
            (target / "a").write_text("1")
            raise Killed

    with pytest.raises(Killed):
        place(placer._replace(store=Dying(placer.home / "store")), {"model": tree})
    place(placer, {"model": tree})
    assert (placer.root / "model" / "b").read_text() == "1"


def test_many_at_once_place_one_output_and_move_aside_only_what_was_not_theirs(placer: Placer, make: Make) -> None:
    (placer.root / "model").mkdir()
    (placer.root / "model" / "a").write_text("mine")
    tree = make({"a": "made", "b": "made"})
    errors: list[BaseException] = []
    begin = threading.Barrier(6)

    def act() -> None:
        begin.wait()
        try:
            place(placer, {"model": tree})
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=act) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert aside(placer) == ["mine"]
    assert sorted(os.listdir(placer.root / "model")) == ["a", "b"]


def test_a_place_that_cannot_be_written_is_named(placer: Placer, make: Make) -> None:
    class Full(DirectoryStore):
        def checkout(self, digest: Digest, target: Path) -> None:
            raise OSError(28, "No space left on device", str(target))

    with pytest.raises(UsageError, match=r"output model .* No space left"):
        place(placer._replace(store=Full(placer.home / "store")), {"model": make({"a": "1"})})
