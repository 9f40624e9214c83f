"""
Metrics files, read: JSON holds final values; CSV and JSON Lines hold values for each step, of which the last is the final one.

Rules: nested keys are joined with dots; numbers and booleans count (true is 1); text, null and lists are not metrics. A CSV or JSON
Lines file numbers its rows by `step` or `epoch`, else from 0. A name that several files define gets in each the file's stem before it.
"""

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import PurePosixPath

import msgspec

from shipway.errors import StageError
from shipway.specs.trees import ROOT, Digest
from shipway.store.base import Store
from shipway.tracking.base import TrackedMetric

Point = tuple[str, int | None, float]
"""Name, step (None in a file of final values) and value."""

STEP_NAMES = ("step", "epoch")
HINT = "metrics are .json (final values), or .csv and .jsonl (one row for each step)"


class Metrics(msgspec.Struct, frozen=True, kw_only=True):
    """`values` holds the final value of each metric, `series` every step of those that have steps, in the order of the steps."""

    values: Mapping[str, float] = {}
    series: tuple[TrackedMetric, ...] = ()

    def tracked(self, at: float, prefix: str = "") -> list[TrackedMetric]:
        """Everything the tracker has to be told: the series, and final values without one. `prefix` tells stages apart."""
        stepped = {metric.name for metric in self.series}
        finals = [
            TrackedMetric(name=name, value=value, at=at) for name, value in self.values.items() if name not in stepped
        ]
        every = (*self.series, *finals)
        return (
            [msgspec.structs.replace(metric, name=prefix + metric.name) for metric in every] if prefix else list(every)
        )


def load_metrics(store: Store, outputs: Mapping[str, Digest], *, at: float) -> Metrics:
    """Read the trees that stage outputs hold; a directory counts with each metrics file in it. Raises StageError."""
    files: dict[str, bytes] = {}
    for path, digest in outputs.items():
        tree = store.tree(digest)
        for entry in tree.entries:
            name = path if entry.path == ROOT else f"{path}/{entry.path}"
            if entry.digest is not None and (entry.path == ROOT or PurePosixPath(name).suffix.lower() in READERS):
                with store.open(entry.digest) as stream:
                    files[name] = stream.read()
    return read_metrics(files, at=at)


def read_metrics(files: Mapping[str, bytes], *, at: float) -> Metrics:
    """Read files given by their paths. `at`, in seconds since the epoch, becomes the time of every step. Raises StageError."""
    points = {path: _read(path, data) for path, data in files.items()}
    prefixes = _prefixes({path: {name for name, _, _ in found} for path, found in points.items()})
    values: dict[str, float] = {}
    steps: dict[str, dict[int, float]] = {}
    for path, found in points.items():
        for name, step, value in found:
            full = prefixes[path, name] + name
            if step is None:
                values[full] = value
            else:
                steps.setdefault(full, {})[step] = value
    series = []
    for name, known in steps.items():
        ordered = sorted(known.items())
        values[name] = ordered[-1][1]
        series += [TrackedMetric(name=name, value=value, at=at, step=step) for step, value in ordered]
    return Metrics(values=values, series=tuple(series))


def _prefixes(names: Mapping[str, set[str]]) -> Mapping[tuple[str, str], str]:
    """What to put before each name of each file: nothing, the stem if files share the name, the whole path if they share that too."""
    owners: dict[str, list[str]] = {}
    for path, found in names.items():
        for name in found:
            owners.setdefault(name, []).append(path)
    prefixes: dict[tuple[str, str], str] = {}
    for name, paths in owners.items():
        stems = [PurePosixPath(path).stem for path in paths]
        for path, stem in zip(paths, stems, strict=True):
            tail = stem if stems.count(stem) == 1 else str(PurePosixPath(path)).replace("/", ".")
            prefixes[path, name] = "" if len(paths) == 1 else tail + "."
    return prefixes


def _read(path: str, data: bytes) -> list[Point]:
    reader = READERS.get(PurePosixPath(path).suffix.lower())
    if reader is None:
        raise StageError(f"metrics file {path}: its kind is not known", hint=HINT)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise StageError(f"metrics file {path}: not UTF-8 text (byte {error.start})") from error
    return list(reader(path, text))


def _json(path: str, text: str) -> Iterator[Point]:
    for name, value in _flat(_decode(path, 1, text), f"metrics file {path}"):
        yield name, None, value


def _json_lines(path: str, text: str) -> Iterator[Point]:
    row = 0
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            place = f"metrics file {path}: line {number}"
            content = dict(_flat(_decode(path, number, line), place))
            step = _step(content, row, place)
            yield from ((name, step, value) for name, value in content.items() if name.lower() not in STEP_NAMES)
            row += 1


def _csv(path: str, text: str) -> Iterator[Point]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    numeric: dict[str, bool] = {}
    row = 0
    try:
        header = [name.strip() for name in next(reader, [])]
        _check_header(path, header)
        for cells in reader:
            place = f"metrics file {path}: line {reader.line_num}"
            if len(cells) > len(header):
                raise StageError(f"{place} has {len(cells)} cells for {len(header)} columns")
            content = dict(_numbers(zip(header, cells, strict=False), numeric, place))
            if content:
                step = _step(content, row, place)
                yield from ((name, step, value) for name, value in content.items() if name.lower() not in STEP_NAMES)
                row += 1
    except csv.Error as error:
        raise StageError(f"metrics file {path}: line {reader.line_num}: {error}") from error


def _check_header(path: str, header: list[str]) -> None:
    doubled = sorted({name for name in header if header.count(name) > 1})
    if not header or doubled:
        problem = f"column {doubled[0]!r} is there twice" if doubled else "empty, not even a row of column names"
        raise StageError(f"metrics file {path}: {problem}")


def _numbers(cells: Iterable[tuple[str, str]], numeric: dict[str, bool], place: str) -> Iterator[tuple[str, float]]:
    """The cells that hold numbers; a column whose first cell is text holds none, and `numeric` remembers which are which."""
    for name, cell in cells:
        text = cell.strip()
        if not text or not name or numeric.get(name) is False:
            continue
        try:
            value = float(text)
        except ValueError as error:
            if numeric.get(name):
                raise StageError(f"{place}, column {name}: {text!r} is not a number") from error
            numeric[name] = False
        else:
            numeric[name] = True
            yield name, value


def _step(content: Mapping[str, float], row: int, place: str) -> int:
    for name, value in content.items():
        if name.lower() in STEP_NAMES:
            if not value.is_integer() or abs(value) >= 2**53:
                raise StageError(f"{place}: {name} {value} is not a whole number")
            return int(value)
    return row


def _decode(path: str, line: int, text: str) -> dict[str, object]:
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        place = f"line {line + error.lineno - 1}, column {error.colno}"
        raise StageError(f"metrics file {path}: {place}: {error.msg}") from error
    except (RecursionError, ValueError) as error:  # nested too deep; a number of thousands of digits
        raise StageError(f"metrics file {path}: line {line}: {error}") from error
    if not isinstance(content, dict):
        raise StageError(
            f"metrics file {path}: line {line}: holds a {type(content).__name__}, not an object of names and numbers"
        )
    return content


def _flat(content: Mapping[str, object], place: str) -> Iterator[tuple[str, float]]:
    """Leaves by dotted name. A stack instead of recursion, because files can nest deep."""
    seen: set[str] = set()
    stack: list[tuple[str, object]] = [(name, value) for name, value in reversed(list(content.items()))]
    while stack:
        name, value = stack.pop()
        if isinstance(value, dict):
            stack += [(f"{name}.{inner}", below) for inner, below in reversed(list(value.items()))]
        elif isinstance(value, (int, float)):
            if name in seen:
                raise StageError(f"{place}: {name} is there twice")
            seen.add(name)
            try:
                yield name, float(value)
            except OverflowError as error:
                raise StageError(f"{place}: {name} is too large for a number") from error


READERS: Mapping[str, Callable[[str, str], Iterator[Point]]] = {
    ".json": _json,
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
    ".csv": _csv,
}
