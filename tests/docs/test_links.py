"""Links and file names in the documentation lead somewhere."""

import re
from pathlib import Path

LINK = re.compile(r"!?\[[^\]]*\]\((?P<target>[^)\s]+)\)")
NAMED = re.compile(r"`((?:src|tests|docs|examples|bench|lab)/[\w./*-]+)`")
FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub makes of the headings."""
    headings = re.findall(r"^#+ (.+)$", FENCED.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def test_every_relative_link_leads_to_a_file_and_a_heading(markdown: list[Path], root: Path) -> None:
    dead = []
    for page in markdown:
        for match in LINK.finditer(FENCED.sub("", page.read_text())):
            target = match["target"]
            if target.startswith(("http://", "https://", "mailto:")):
                continue
            path, _, anchor = target.partition("#")
            there = (page.parent / path).resolve() if path else page
            if not there.exists() or (anchor and anchor not in anchors(there)):
                dead.append(f"{page.relative_to(root)}: {target}")
    assert dead == []


def test_every_file_that_a_page_names_is_there(markdown: list[Path], root: Path) -> None:
    missing = []
    for page in markdown:
        for name in NAMED.findall(page.read_text()):
            if not any(root.glob(name.rstrip("/"))):
                missing.append(f"{page.relative_to(root)}: {name}")
    assert missing == []


def test_every_decision_is_in_the_index(root: Path) -> None:
    index = (root / "docs/adr/README.md").read_text()
    assert [page.name for page in (root / "docs/adr").glob("[0-9]*.md") if f"({page.name})" not in index] == []
