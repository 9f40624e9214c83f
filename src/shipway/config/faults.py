"""Faults in the user's files, each with its place; all of them are told at once."""

import msgspec

from shipway.errors import ConfigError

Loc = tuple[str | int, ...]
"""Where a value stands in a file: the keys and list indexes that lead to it."""


class Place(msgspec.Struct, frozen=True, order=True):
    """Line and column, both counted from 1."""

    line: int
    column: int


START = Place(1, 1)


def dotted(loc: Loc) -> str:
    """`("stages", "train", "inputs", 0)` as `stages.train.inputs[0]`."""
    text = ""
    for part in loc:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.removeprefix(".")


class Faults:
    """Collects the faults of one file."""

    def __init__(self, file: str) -> None:
        self.file = file
        self._found: dict[tuple[Place, str], Loc] = {}

    def add(self, place: Place, loc: Loc, text: str) -> None:
        where = dotted(loc)
        self._found[place, f"{where}: {text}" if where else text] = loc

    @property
    def places(self) -> frozenset[Place]:
        return frozenset(place for place, _ in self._found)

    @property
    def sections(self) -> frozenset[str]:
        """The top-level keys in which there are faults."""
        return frozenset(str(loc[0]) for loc in self._found.values() if loc)

    def stop_if_any(self) -> None:
        """Raises ConfigError with every fault so far, in the order of the file."""
        if self._found:
            lines = [f"{self.file}:{place.line}:{place.column}: {text}" for place, text in sorted(self._found)]
            raise ConfigError([_one_line(line) for line in lines])


def shown(value: object) -> str:
    """A value as the user would recognise it, shortened."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…" + text[-1]


def _one_line(text: str) -> str:
    """A key may hold a line break; a fault is one line for all that."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)
