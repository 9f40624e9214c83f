"""
Write the parts of the documentation that are made from the code; `python docs/generate.py` after a change of it.

A generated part stands between `<!-- generated: NAME -->` and `<!-- end: NAME -->`.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

from shipway.cli.reference import reference as cli
from shipway.config.reference import reference as configuration

DOCS = Path(__file__).parent

PARTS: Mapping[str, tuple[str, Callable[[], str]]] = {
    "cli": ("cli.md", cli),
    "configuration": ("configuration.md", configuration),
}
"""Name of the part: the page it stands in, and what makes it."""


def generated(name: str) -> tuple[Path, str]:
    """The page of a part, and its text as it should be."""
    page, make = PARTS[name]
    text = (DOCS / page).read_text(encoding="utf-8")
    begin, end = f"<!-- generated: {name} -->\n", f"<!-- end: {name} -->\n"
    before, _, rest = text.partition(begin)
    _, found, after = rest.partition(end)
    if not found:
        raise SystemExit(f"{page} lacks the marks {begin.strip()} and {end.strip()}")
    return DOCS / page, f"{before}{begin}\n{make().strip()}\n\n{end}{after}"


def main() -> None:
    for name in PARTS:
        page, text = generated(name)
        page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
