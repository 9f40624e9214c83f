"""Garbage collection keeps whatever something still needs."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from shipway.app import running, upkeep
from shipway.app.opened import Opened
from shipway.specs.trees import ROOT, Entry, Tree, digest_of
from shipway.testing.tracking_conformance import sample

MakeProject = Callable[..., Path]

FILE = """
project: kept
tracking: off
stages:
  make: {run: "echo said; cp in.txt out.txt", inputs: [in.txt], outputs: [out.txt]}
"""


@pytest.fixture
def opened(make_project: MakeProject) -> Opened:
    root = make_project(FILE, {"in.txt": "in\n"})
    running.run(Opened(root), running.Request(), lambda event: None)
    return Opened(root)


def collect(opened: Opened, *, dry_run: bool = False) -> int:
    report = upkeep.store_gc(opened, dry_run=dry_run, grace=timedelta(0))
    return report.trees + report.objects + report.packs


def test_what_results_and_logs_need_stays(opened: Opened) -> None:
    assert collect(opened) == 0
    assert opened.planner.plan(running.Request().selection).all_hit
    assert b"".join(running.logs(opened, running.find_run(opened, None), "make", follow=False)) == b"said\n"


def test_the_models_in_the_store_s_own_registry_stay_though_no_result_names_them(
    opened: Opened, tmp_path: Path
) -> None:
    (tmp_path / "model").write_bytes(b"model")
    tree = opened.store.put_tree(Tree((Entry(ROOT, digest_of(b"model"), 5),)), tmp_path / "model")
    made = opened.tracking[1].register(sample("kept", tree), tmp_path / "model")
    opened.tracking[1].promote("kept", "1", "champion")
    opened.store.move_ref("models/kept/trees/1", tree, None)  # as a crash right after the version leaves it
    assert collect(opened) == 0
    assert opened.store.has_tree(tree)
    assert opened.tracking[1].resolve("kept", "champion") == msgspec.structs.replace(made, aliases=("champion",))


def test_what_nothing_needs_goes_but_not_in_a_dry_run(opened: Opened) -> None:
    stray = opened.store.put_bytes(b"stray")
    assert collect(opened, dry_run=True) == 1
    with opened.store.open(stray) as stream:
        assert stream.read() == b"stray"
    assert collect(opened) == 1
    assert collect(opened) == 0


def test_what_is_younger_than_the_grace_time_stays(opened: Opened) -> None:
    opened.store.put_bytes(b"stray")
    assert upkeep.store_gc(opened, dry_run=True, grace=timedelta(hours=1)).objects == 0


def test_a_flipped_bit_is_found(opened: Opened) -> None:
    assert list(upkeep.store_verify(opened)) == []
    digest = digest_of(b"in\n")
    stored = opened.store.root / "objects" / digest[:2] / digest[2:]
    stored.chmod(0o600)
    stored.write_bytes(b"iN\n")
    assert [fault.name for fault in upkeep.store_verify(opened)] == [digest]
