"""The configuration's pages say what the code does."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from shipway.config.reference import reference
from shipway.specs.grammar import parse

DOCS = Path(__file__).parents[3] / "docs"


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_generated_parts_of_the_documentation_are_fresh(generate: ModuleType) -> None:
    for name in generate.PARTS:
        page, text = generate.generated(name)
        assert page.read_text(encoding="utf-8") == text, f"{page.name} is stale: run python docs/generate.py"


def test_the_reference_says_how_every_key_is_written() -> None:
    rows = [line.strip("| ").split(" | ") for line in reference().splitlines() if line.startswith("| `")]
    assert len(rows) > 40
    for row in rows:
        assert row[1].strip(), row
        assert row[-1].endswith("."), row


def test_the_conditions_in_the_page_about_the_gate_are_conditions() -> None:
    (block,) = re.findall(r"^```yaml\n(.*?)^```", (DOCS / "gate.md").read_text(), re.MULTILINE | re.DOTALL)
    conditions = [line.strip().removeprefix("- ") for line in block.splitlines()[1:]]
    assert len(conditions) == 3
    for condition in conditions:
        parse(condition)
