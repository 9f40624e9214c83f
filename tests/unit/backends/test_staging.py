"""Inputs reach the work tree in a time that does not hang on their number of files, and damage is found out."""

import os
from pathlib import Path

import pytest

from shipway.errors import InputChangedError, NotFoundError, OutputMissingError
from shipway.specs.jobs import JobHandle, JobState, Mount
from shipway.specs.trees import Digest
from shipway.testing.backend_suite import mounts, put

from .conftest import Bench

HANDLE = JobHandle("process", "t-1")


def own_copy(bench: Bench, **files: str) -> tuple[Path, Mount]:
    place = bench.root / "project" / "data"
    return place, Mount(path="data", tree=put(bench.store, place, files), origin=str(place))


def test_data_is_linked_without_one_file_made(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = mounts(bench.store, bench.root / "in", data={f"{at}": str(at) for at in range(200)})
    bench.run("true", inputs=inputs)
    monkeypatch.setattr(bench.store, "checkout", None)
    monkeypatch.setattr(bench.views, "changed", None)
    bench.run("ls data/ | wc -l", id="t-2", inputs=inputs)
    assert bench.log("t-2").split() == [b"200"]
    assert (bench.directory("t-2").work / "data").is_symlink()


def test_two_jobs_share_one_view(bench: Bench) -> None:
    inputs = mounts(bench.store, bench.root / "in", data={"a": "x"})
    for name in ("t-1", "t-2"):
        bench.run("true", id=name, inputs=inputs)
    assert len({os.readlink(bench.directory(name).work / "data") for name in ("t-1", "t-2")}) == 1


def test_writing_into_the_projects_own_copy_is_told_with_its_place(bench: Bench) -> None:
    place, mount = own_copy(bench, a="x", b="y")
    bench.run("echo evil > data/a", inputs=(mount,))
    with pytest.raises(InputChangedError, match=rf"input 'data': 'a' changed.*{place}") as raised:
        bench.backend.collect(HANDLE, bench.store)
    assert raised.value.hint
    assert bench.run("cat data/a", id="t-2", inputs=(mount,)).state is JobState.SUCCEEDED
    assert bench.log("t-2") == b"x"


def test_an_own_copy_that_changed_since_the_plan_is_not_used(bench: Bench) -> None:
    place, mount = own_copy(bench, a="planned")
    (place / "a").write_text("changed since")
    bench.run("cat data/a", inputs=(mount,))
    assert bench.log() == b"planned"
    assert bench.backend.collect(HANDLE, bench.store) == {}


def test_an_own_copy_that_holds_more_is_not_used(bench: Bench) -> None:
    place, mount = own_copy(bench, a="x")
    (place / ".DS_Store").write_text("junk")
    bench.run("ls -A data/", inputs=(mount,))
    assert bench.log() == b"a\n"


def test_an_own_copy_that_is_gone_is_not_missed(bench: Bench) -> None:
    place, mount = own_copy(bench, a="x")
    (place / "a").unlink()
    place.rmdir()
    bench.run("cat data/a", inputs=(mount,))
    assert bench.log() == b"x"


def test_touched_files_are_named_but_not_all_of_many(bench: Bench) -> None:
    inputs = mounts(bench.store, bench.root / "in", data={f"{at}": "x" for at in range(9)})
    bench.run("chmod u+w data/*; for f in data/*; do echo > $f; done", inputs=inputs)
    with pytest.raises(InputChangedError, match=r"'0', '1', '2', '3', '4' and 4 more"):
        bench.backend.collect(HANDLE, bench.store)


def test_a_job_whose_view_was_thrown_away_under_it_is_not_trusted(bench: Bench) -> None:
    inputs = mounts(bench.store, bench.root / "in", data={"a": "x"})
    bench.run("true", inputs=inputs)
    bench.views.discard(inputs[0].tree)
    with pytest.raises(InputChangedError, match="thrown away"):
        bench.backend.collect(HANDLE, bench.store)
    bench.views.view(inputs[0].tree)
    with pytest.raises(InputChangedError, match="thrown away"):
        bench.backend.collect(HANDLE, bench.store)


@pytest.mark.parametrize("ending", ["exit 1", "kill -9 $$"])
def test_a_view_that_a_failed_job_damaged_is_thrown_away_before_the_failure_is_told(bench: Bench, ending: str) -> None:
    inputs = mounts(bench.store, bench.root / "in", data={"a": "x"})
    view = bench.views.view(inputs[0].tree)
    bench.run(f"chmod u+w data/a; echo evil > data/a; {ending}", inputs=inputs)
    assert not view.exists()


def test_a_view_that_was_damaged_is_thrown_away_when_nobody_collects(bench: Bench) -> None:
    inputs = mounts(bench.store, bench.root / "in", data={"a": "x"})
    view = bench.views.view(inputs[0].tree)
    bench.run("chmod u+w data/a; echo evil > data/a", inputs=inputs)
    bench.backend.remove(HANDLE)
    assert not view.exists()


def test_parts_of_undeclared_inputs_are_linked_as_views(bench: Bench) -> None:
    files = {"train.py": "", **{f"data/raw/{at}": "x" for at in range(100)}}
    bench.run(
        "ls data/raw | wc -l; test -L data; test ! -L train.py",
        inputs=mounts(bench.store, bench.root / "in", here=files),
    )
    assert bench.log().split() == [b"100"]
    assert (bench.directory().work / "data").is_symlink()


def test_a_failed_staging_leaves_nothing(bench: Bench) -> None:
    with pytest.raises(NotFoundError):
        bench.backend.submit(bench.job("true", inputs=(Mount(path="data", tree=Digest("f" * 64)),)))
    assert os.listdir(bench.directory().path) == ["request.json"]


def test_an_output_missing_beside_many_files_lists_the_nearest_twenty(bench: Bench) -> None:
    bench.run("for i in $(seq 100); do touch f$i; done; touch modle", outputs=("model",))
    with pytest.raises(OutputMissingError) as raised:
        bench.backend.collect(HANDLE, bench.store)
    listed = raised.value.message.split("there is: ")[1].split(", ")
    assert listed[0] == "modle"
    assert len(listed) == 21


def test_a_tree_that_was_linked_before_is_linked_without_its_listing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = mounts(bench.store, bench.root / "in", data={"a": "a"})
    bench.run("true", inputs=inputs)
    monkeypatch.setattr(bench.store, "tree", None)
    bench.run("cat data/a", id="t-2", inputs=inputs)
    assert bench.log("t-2") == b"a"


def test_damage_to_a_tree_that_was_linked_at_once_is_found_out(bench: Bench) -> None:
    inputs = mounts(bench.store, bench.root / "in", data={"a": "a"})
    bench.run("true", inputs=inputs)
    bench.run("echo b >> data/a", id="t-2", inputs=inputs)
    with pytest.raises(InputChangedError, match="data"):
        bench.backend.collect(JobHandle("process", "t-2"), bench.store)
