"""The page about the verbs says what the verbs say of themselves."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

DOCS = Path(__file__).parents[3] / "docs"


@pytest.fixture
def generate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_about_the_verbs_is_fresh(generate: ModuleType) -> None:
    page, text = generate.generated("cli")
    assert page.read_text(encoding="utf-8") == text, "docs/cli.md is stale: run python docs/generate.py"


def test_every_verb_has_a_section_and_every_option_a_meaning() -> None:
    from shipway.cli.main import shipway
    from shipway.cli.reference import reference

    page = reference()
    assert [verb for verb in shipway.list_commands(None) if f"\n## shipway {verb}\n" not in f"\n{page}"] == []  # type: ignore[arg-type]  # it asks for no context
    assert "### shipway store gc" in page
    rows = [line for line in page.splitlines() if line.startswith("| `-")]
    assert len(rows) > 40
    assert [row for row in rows if not row.split(" | ")[1].strip(" |")] == []
