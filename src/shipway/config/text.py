"""
YAML text becomes plain values that remember where they stand.

Read from the parser's events rather than its node tree: that bounds depth and size before anything recurses (the C library's own
composer overflows the stack on deep nesting), and keeps keys as they are written (YAML 1.1 takes `on` for a boolean).
"""

from collections.abc import Iterator
from typing import Any

import msgspec

from shipway.config import scalars
from shipway.config.faults import START, Faults, Loc, Place

MOST_BYTES = 1 << 20
MOST_VALUES = 20_000
MOST_DEPTH = 40


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """
    A file's value, and by location: where each value and each key stands, and how each scalar was written.

    `offsets` has how far the text of a scalar is from its place, where each of its characters stands as itself on one line.
    """

    value: Any
    places: dict[Loc, Place]
    keys: dict[Loc, Place]
    raw: dict[Loc, str]
    offsets: dict[Loc, int]

    def place(self, loc: Loc) -> Place:
        """Where the value stands, or the nearest that holds it."""
        while loc not in self.places and loc:
            loc = loc[:-1]
        return self.places.get(loc, START)

    def key_place(self, loc: Loc) -> Place:
        return self.keys.get(loc) or self.place(loc)


class Stop(Exception):
    """Nothing after this can be read."""


def parse(data: bytes, faults: Faults, *, portable: bool = False, flow: bool = False) -> Document | None:
    """
    Read one file; None if it is so broken that there is no value. Other faults are added and reading goes on.

    `portable`: refuse what YAML 1.1 and 1.2 read differently, since others will read the same values. `flow`: one value on one line.
    """
    try:
        return _Reader(_decoded(data, faults), faults, portable=portable, flow=flow).document()
    except Stop:
        return None


def _decoded(data: bytes, faults: Faults) -> str:
    if len(data) > MOST_BYTES:
        faults.add(START, (), f"the file has {len(data)} bytes; {MOST_BYTES} is the most")
        raise Stop
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8-sig", "replace")
        place = Place(before.count("\n") + 1, len(before) - before.rfind("\n"))
        faults.add(place, (), f"byte 0x{data[error.start]:02x} is not UTF-8 (save the file as UTF-8)")
        raise Stop from error


def _at(mark: Any) -> Place:
    return Place(mark.line + 1, mark.column + 1)


class _Reader:
    def __init__(self, text: str, faults: Faults, *, portable: bool, flow: bool) -> None:
        self._text = text
        self._faults = faults
        self._portable = portable
        self._flow = flow
        self._events = self._parsed()
        self._anchors: dict[str, list[Any] | None] = {}
        self._open: list[list[Any]] = []
        self._count = 0
        self.places: dict[Loc, Place] = {}
        self.keys: dict[Loc, Place] = {}
        self.raw: dict[Loc, str] = {}
        self.offsets: dict[Loc, int] = {}

    def document(self) -> Document:
        """Raises Stop."""
        import yaml

        events = [next(self._events), next(self._events)]
        if isinstance(events[1], yaml.StreamEndEvent):
            self._stop(START, (), "the file is empty")
        value = self._value(next(self._events), self._events, ())
        next(self._events)
        if not isinstance(after := next(self._events), yaml.StreamEndEvent):
            self._stop(_at(after.start_mark), (), "a second document begins here; the file has one")
        return Document(value=value, places=self.places, keys=self.keys, raw=self.raw, offsets=self.offsets)

    def _stop(self, place: Place, loc: Loc, text: str) -> None:
        self._faults.add(place, loc, text)
        raise Stop

    def _parsed(self) -> Iterator[Any]:
        """The events; each one is also kept for the anchors that are open, so that an alias can be read again."""
        import yaml

        try:
            for event in yaml.parse(self._text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
                for kept in self._open:
                    kept.append(event)
                yield event
        except yaml.reader.ReaderError as error:
            before = self._text[: error.position]
            place = Place(before.count("\n") + 1, error.position - before.rfind("\n"))
            self._stop(place, (), f"character {error.character:#04x} may not stand in YAML")
        except yaml.MarkedYAMLError as error:
            self._stop(_at(error.problem_mark) if error.problem_mark else START, (), self._words(error))

    def _words(self, error: Any) -> str:
        mark, text = error.problem_mark or error.context_mark, f"not YAML: {error.problem}"
        if mark is None:
            return text
        line = self._text.split("\n")[mark.line] if mark.line <= self._text.count("\n") else ""
        if line[mark.column : mark.column + 1] == "\t" or line[: mark.column].strip(" ") == "\t":
            return "a tab stands here; YAML is indented with spaces"
        if error.context and error.context_mark is not None and error.context_mark.line != mark.line:
            return f"{text}, {error.context} that begins on line {error.context_mark.line + 1}"
        return f"{text}, {error.context}" if error.context else text

    def _value(self, event: Any, events: Iterator[Any], loc: Loc) -> Any:
        import yaml

        place = _at(event.start_mark)
        self._count += 1
        if self._count > MOST_VALUES:
            self._stop(place, loc, f"more than {MOST_VALUES} values, aliases counted each time")
        if len(loc) > MOST_DEPTH:
            self._stop(place, (), f"nested deeper than {MOST_DEPTH}")
        if self._flow and getattr(event, "flow_style", None) is False:
            self._stop(place, loc, "a list or mapping is written with brackets, a text that looks like one in quotes")
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, loc)
        self._tag(event, loc)
        if event.anchor is None or events is not self._events:
            return self._content(event, events, loc)
        if event.anchor in self._anchors:
            self._stop(place, loc, f"&{event.anchor} is anchored twice")
        self._anchors[event.anchor] = None
        kept = [event]
        self._open.append(kept)
        value = self._content(event, events, loc)
        self._open = [other for other in self._open if other is not kept]
        self._anchors[event.anchor] = kept
        return value

    def _alias(self, event: Any, loc: Loc) -> Any:
        place, name = _at(event.start_mark), event.anchor
        if name not in self._anchors:
            self._stop(place, loc, f"nothing is anchored as &{name} above")
        kept = self._anchors[name]
        if kept is None:
            self._stop(place, loc, f"*{name} would hold itself")
        replayed = iter(kept or ())
        return self._value(next(replayed), replayed, loc)

    def _tag(self, event: Any, loc: Loc) -> None:
        if event.tag not in (None, "!", "tag:yaml.org,2002:str"):
            self._faults.add(_at(event.start_mark), loc, f"tags are not read here: {event.tag}")

    def _content(self, event: Any, events: Iterator[Any], loc: Loc) -> Any:
        import yaml

        self.places[loc] = _at(event.start_mark)
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(events, loc)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(events, loc)
        return self._scalar(event, loc)

    def _scalar(self, event: Any, loc: Loc) -> Any:
        text: str = event.value
        self.raw[loc] = text
        plain = bool(event.implicit[0]) and not event.style and event.tag is None
        quotes = 1 if event.style in ("'", '"') else 0
        if event.start_mark.line == event.end_mark.line and (
            event.end_mark.column - event.start_mark.column == len(text) + 2 * quotes
        ):
            self.offsets[loc] = quotes
        if "\0" in text:
            self._faults.add(_at(event.start_mark), loc, "a NUL character may not stand in a text")
        if not plain:
            return text
        if self._portable and (other := scalars.differs(text)):
            hint = "write true or false, or quote it" if other == "a boolean" else "quote it if it is text"
            self._faults.add(_at(event.start_mark), loc, f"{text} is {other} to programs that read YAML 1.1 ({hint})")
        try:
            return scalars.read(text)
        except ValueError as error:
            self._faults.add(_at(event.start_mark), loc, str(error))
            return 0

    def _sequence(self, events: Iterator[Any], loc: Loc) -> list[Any]:
        import yaml

        values: list[Any] = []
        while not isinstance(event := next(events), yaml.SequenceEndEvent):
            values.append(self._value(event, events, (*loc, len(values))))
        return values

    def _mapping(self, events: Iterator[Any], loc: Loc) -> dict[str, Any]:
        import yaml

        values: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        while not isinstance(event := next(events), yaml.MappingEndEvent):
            key = self._key(event, loc)
            if key == "<<" and event.implicit[0] and not event.style:
                self._merge(events, loc, merged)
                continue
            inner = (*loc, key)
            if key in values:
                first = self.keys[inner].line
                self._faults.add(_at(event.start_mark), inner, f"stands here twice; the first is on line {first}")
            if inner in self.keys:
                self._forget(inner)
            self.keys[inner] = _at(event.start_mark)
            values[key] = self._value(next(events), events, inner)
        return {**merged, **values}

    def _key(self, event: Any, loc: Loc) -> str:
        import yaml

        if not isinstance(event, yaml.ScalarEvent):
            self._stop(
                _at(event.start_mark), loc, "a key must be one word (quote a text that holds brackets or a star)"
            )
        key: str = event.value
        self._tag(event, (*loc, key))
        plain = bool(event.implicit[0]) and not event.style
        if self._portable and plain and key != "<<" and (scalars.differs(key) or not scalars.is_text(key)):
            self._faults.add(
                _at(event.start_mark), (*loc, key), f"the key {key} is not text to every program (quote it)"
            )
        return key

    def _merge(self, events: Iterator[Any], loc: Loc, merged: dict[str, Any]) -> None:
        """`<<`: keys of other mappings, unless written out; of several the first wins."""
        event = next(events)
        aside = (*loc, "<<")
        value = self._value(event, events, aside)
        sources = value if isinstance(value, list) else [value]
        tail = [self._tail(table, aside) for table in (self.places, self.keys, self.raw)]
        for index, source in enumerate(sources):
            if not isinstance(source, dict):
                self._faults.add(_at(event.start_mark), aside, "only mappings can be merged")
                continue
            origin = (*aside, index) if isinstance(value, list) else aside
            new = source.keys() - merged.keys()
            merged.update((key, source[key]) for key in source if key in new)
            self._settle(tail, origin, loc, {key for key in new if (*loc, key) not in self.keys})

    @staticmethod
    def _tail(table: dict[Loc, Any], origin: Loc) -> list[tuple[Loc, Any]]:
        """Take out what was read last, below `origin`."""
        found = []
        for loc in reversed(table):
            if loc[: len(origin)] != origin:
                break
            found.append(loc)
        return [(loc, table.pop(loc)) for loc in found]

    def _settle(self, tail: list[list[tuple[Loc, Any]]], origin: Loc, target: Loc, keys: set[str]) -> None:
        """The places of merged keys become those of the mapping that they are merged into."""
        depth = len(origin)
        tables: tuple[dict[Loc, Any], ...] = (self.places, self.keys, self.raw)
        for table, found in zip(tables, tail, strict=True):
            moved = [
                (loc, at) for loc, at in found if loc[:depth] == origin and len(loc) > depth and loc[depth] in keys
            ]
            table.update((target + loc[depth:], at) for loc, at in moved)

    def _forget(self, origin: Loc) -> None:
        for table in (self.places, self.keys, self.raw):
            for loc in [loc for loc in table if loc[: len(origin)] == origin]:
                del table[loc]
