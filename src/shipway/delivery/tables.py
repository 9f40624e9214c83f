"""Rows of a CSV file as instances."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from shipway.errors import UsageError

Cell = int | float | str | None


def read_table(path: Path, inputs: Sequence[Mapping[str, Any]]) -> list[Any]:
    """
    Instances as lists, or as objects by column where the model knows its columns by name and the file names them; plain values for a model
    whose one input is one value a row.

    An empty cell is null. Raises UsageError.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = [row for row in csv.reader(file) if any(cell.strip() for cell in row)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{path}: not CSV in UTF-8: {error}") from error
    if len(inputs) == 1 and len(inputs[0]["shape"]) == 1:
        return _values(path, rows, inputs[0])
    columns = column_names(inputs)
    header = rows[0] if rows and is_header(rows, columns) else None
    body = rows if header is None else rows[1:]
    if not body:
        raise UsageError(f"{path}: there are no rows in it")
    wanted = len(header or body[0])
    for number, row in enumerate(body, start=1 if header is None else 2):
        if len(row) != wanted:
            raise UsageError(f"{path}: row {number} has {len(row)} cells, the first has {wanted}")
    names = [cell.strip() for cell in header] if header is not None else None
    if names is None and len(inputs) > 1:
        names = list(columns)
        if len(names) != wanted:
            raise UsageError(
                f"{path}: {wanted} cells in a row, but the model has {len(names)} inputs: {', '.join(names)}"
            )
    if names is None or not set(columns) & set(names):
        return [[_value(cell) for cell in row] for row in body]
    # What the model does not know, like the column that is to be predicted, would be refused.
    kept = [(at, name) for at, name in enumerate(names) if name in columns]
    return [{name: _value(row[at]) for at, name in kept} for row in body]


def _values(path: Path, rows: Sequence[Sequence[str]], only: Mapping[str, Any]) -> list[Cell]:
    """One value a row, from the column with the input's name or the only one. A text is sent as it stands, also one that looks like a number."""
    text, name = only.get("datatype") == "BYTES", str(only["name"])
    first = [cell.strip() for cell in rows[0]] if rows else []
    at = first.index(name) if name in first else 0
    width = len(first) if name in first else 1
    body = rows[1:] if name in first or (first and (_is_title(rows) if text else is_header(rows, ()))) else rows
    if not body:
        raise UsageError(f"{path}: there are no rows in it")
    for number, row in enumerate(body, start=1 + len(rows) - len(body)):
        if len(row) != width:
            raise UsageError(
                f"{path}: row {number} has {len(row)} cells, but the model takes one value a row",
                hint=f"name its column {name!r} in the first row, and put a text with commas in it in double quotes",
            )
    return [row[at] if text else _value(row[at]) for row in body]


def _is_title(rows: Sequence[Sequence[str]]) -> bool:
    """Whether texts begin with what seems to be their column's name: one word above rows that are all longer."""
    first, *rest = (row[0].strip() for row in rows)
    return first.isidentifier() and bool(rest) and all(len(text.split()) > 1 for text in rest)


def column_names(inputs: Sequence[Mapping[str, Any]]) -> Sequence[str]:
    """Names that a cell of a row may go by: the columns of the only input, or else the inputs."""
    if len(inputs) == 1:
        parameters = inputs[0].get("parameters") or {}
        return [str(name) for name in parameters.get("columns", [])]
    return [str(tensor["name"]) for tensor in inputs]


def is_header(rows: Sequence[Sequence[str]], columns: Sequence[str]) -> bool:
    """The first row names columns that the model knows, or has words only where a later row has a number."""
    first = [cell.strip() for cell in rows[0]]
    if set(first) & set(columns):
        return True
    if len(rows) == 1 or any(_is_number(cell) for cell in first):
        return False
    return any(_is_number(cell) for cell in rows[1])


def _is_number(cell: str) -> bool:
    return isinstance(_value(cell), int | float)


def _value(cell: str) -> Cell:
    text = cell.strip()
    if not text or text.lower() == "nan":
        return None
    if "_" in text:  # Python would read 1_000 as a number
        return text
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return text
