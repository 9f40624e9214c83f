"""`shipway store`: damage is found, taken out when asked, and made again by the next run."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

MakeProject = Callable[..., Path]

FILE = """
project: worn
tracking: off
stages:
  one: {run: "cat in.txt > one.txt; date +%N >> one.txt", inputs: [in.txt], outputs: [one.txt]}
  two: {run: "cat one.txt one.txt > two.txt", inputs: [one.txt], outputs: [two.txt]}
"""


@pytest.fixture
def worn(make_project: MakeProject, typed: Any) -> Path:
    """A project that has run, and whose first stage gives something else each time."""
    root = make_project(FILE, {"in.txt": "in\n"})
    assert typed(root, "run").code == 0
    return root


def stored(root: Path, content: bytes) -> Path:
    objects = (root / ".shipway" / "store" / "objects").rglob("*")
    return next(path for path in objects if path.is_file() and path.read_bytes() == content)


def damage(path: Path) -> None:
    content = path.read_bytes()
    path.chmod(0o600)
    path.write_bytes(bytes([content[0] ^ 1]) + content[1:])


@pytest.mark.parametrize("harm", [damage, Path.unlink])
def test_a_repaired_result_is_gone_from_the_plan_and_made_again(
    worn: Path, typed: Any, harm: Callable[[Path], None]
) -> None:
    first = (worn / "one.txt").read_bytes()
    harm(stored(worn, first))
    found = typed(worn, "store", "verify")
    assert (found.code, found.out.splitlines()[-1]) == (1, "1 fault")
    assert "--repair" in found.err
    repaired = typed(worn, "store", "verify", "--repair")
    assert (repaired.code, repaired.out.splitlines()[-1]) == (0, "1 fault taken out")
    assert typed(worn, "store", "verify").out == "the store is sound\n"
    planned = typed(worn, "plan").out
    assert "the files of its result are no longer in the store" in planned
    assert typed(worn, "run").code == 0
    assert (worn / "one.txt").read_bytes() != first
    assert (worn / "two.txt").read_bytes() == (worn / "one.txt").read_bytes() * 2
    again = typed(worn, "plan", "--json")
    assert '"miss"' not in again.out
    assert '"waits"' not in again.out


def test_a_damaged_input_is_stored_again_from_the_project(worn: Path, typed: Any) -> None:
    damage(stored(worn, b"in\n"))
    assert typed(worn, "store", "verify", "--repair").code == 0
    assert typed(worn, "run", "--force", "one").code == 0
    assert typed(worn, "store", "verify").code == 0


def test_repairing_a_sound_store_does_nothing(worn: Path, typed: Any) -> None:
    said = typed(worn, "store", "verify", "--repair")
    assert (said.code, said.out, said.err) == (0, "the store is sound\n", "")
