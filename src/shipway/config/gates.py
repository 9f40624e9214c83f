"""The conditions of the gate, read while the file is checked, so that a fault shows its line and column."""

from shipway.config.faults import Faults, Loc, Place
from shipway.config.text import Document
from shipway.specs.conditions import ConditionError
from shipway.specs.grammar import parse
from shipway.specs.stages import Project


def check_gate(project: Project, document: Document, faults: Faults) -> None:
    for index, condition in enumerate(project.gate):
        loc: Loc = ("gate", index)
        if loc not in document.places:
            loc = ("gate",)
        try:
            parse(condition)
        except ConditionError as error:
            hint = "" if error.hint is None else f" ({error.hint})"
            faults.add(_inside(document, loc, error.column), loc, f"{error.message}{hint}")


def _inside(document: Document, loc: Loc, column: int) -> Place:
    """Where a column of the condition is in the file; its start, where quotes or folding make that unsure."""
    place = document.place(loc)
    offset = document.offsets.get(loc)
    return place if offset is None else Place(place.line, place.column + offset + column - 1)
