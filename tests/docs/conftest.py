"""What the tests of the documentation read: every Markdown file of the repository, and the fenced blocks in them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"^```(?P<language>\w*)[^\n]*\n(?P<text>.*?)^```", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced block: the file it stands in, its language, and its text."""

    file: Path
    language: str
    text: str


def pages() -> list[Path]:
    parts = (ROOT, ROOT / "docs", ROOT / "examples", ROOT / "bench", ROOT / "lab", ROOT / "src")
    found = [*ROOT.glob("*.md"), *(path for part in parts[1:] for path in part.rglob("*.md"))]
    return sorted(path for path in found if ".venv" not in path.parts and ".shipway" not in path.parts)


def blocks_of(pages: list[Path]) -> Iterator[Block]:
    for page in pages:
        for match in FENCE.finditer(page.read_text()):
            yield Block(page, match["language"], match["text"])


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def markdown() -> list[Path]:
    """Every Markdown file of the repository."""
    return pages()


@pytest.fixture(scope="session")
def blocks(markdown: list[Path]) -> list[Block]:
    """Every fenced block in them."""
    return list(blocks_of(markdown))
