"""The text of `shipway.yaml` becomes a checked `Project`, or one ConfigError with every fault in it. This is the slow path: yaml and pydantic."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from shipway.config import text
from shipway.config.build import build
from shipway.config.checks import check
from shipway.config.faults import START, Faults, Loc, shown
from shipway.config.fields import Nothing
from shipway.config.schema import ProjectSection
from shipway.specs.nearest import suggestion
from shipway.specs.stages import Project

_LATER = {
    "data": "data repositories are",
    "dockerfile": "building images is",
    "image": "running in an image is",
    "conda": "conda is",
}
"""Keys of the design that this version does not know yet."""

_STAND_INS: Mapping[str, Any] = {"project": "unnamed", "stages": {}}
"""For what must be there but was at fault, so that the rest can be checked."""

_ENVS = (("env",), ("stages", "*", "env"), ("endpoints", "*", "env"), ("stages", "*", "run"))
"""Where a number is taken as the text that was written."""


def read_project(data: bytes, root: Path, file: str) -> Project:
    """Raises ConfigError."""
    faults = Faults(file)
    document = text.parse(data, faults)
    if document is not None and not isinstance(document.value, dict):
        faults.add(START, (), f"{shown(document.value)} stands here, not a mapping (begin with `project: NAME`)")
        document = None
    section = None
    if document is not None:
        section, broken = _checked(_prepared(document, document.value, ()), document, faults)
        if section is not None:
            check(build(section, root), document, faults, broken)
    faults.stop_if_any()
    assert section is not None, "no project and no fault either"
    return build(section, root)


def _prepared(document: text.Document, value: Any, loc: Loc) -> Any:
    """Nulls become `Nothing`; a number in a place for text becomes the text that was written (`1.10` stays so)."""
    if value is None:
        return Nothing()
    if isinstance(value, dict):
        return {key: _prepared(document, inner, (*loc, key)) for key, inner in value.items()}
    if isinstance(value, list):
        return [_prepared(document, inner, (*loc, index)) for index, inner in enumerate(value)]
    if isinstance(value, int | float) and not isinstance(value, bool) and any(_fits(loc[:-1], env) for env in _ENVS):
        return document.raw.get(loc, str(value))
    return value


def _fits(loc: Loc, pattern: tuple[str, ...]) -> bool:
    return len(loc) == len(pattern) and all(want in ("*", part) for part, want in zip(loc, pattern, strict=True))


def _checked(value: Any, document: text.Document, faults: Faults) -> tuple[ProjectSection | None, frozenset[str]]:
    """
    Check each value; with faults, also return what is left without them, so that the rest can be checked all the same.

    The second is the names of the sections where something was left out.
    """
    broken = set(faults.sections)
    for attempt in range(5):
        try:
            return ProjectSection.model_validate(value), frozenset(broken)
        except ValidationError as error:
            details = error.errors(include_url=False)
            if attempt == 0:
                _tell(details, document, faults)
            broken.update(str(detail["loc"][0]) for detail in details if detail["loc"])
            for detail in details:
                _cut(value, _target(detail))
            value = {**_STAND_INS, **value}
    return None, frozenset(broken)


def _target(detail: Any) -> Loc:
    """The smallest part that can be left out to be rid of a fault."""
    loc = tuple(detail["loc"])
    if loc and loc[-1] == "[key]":
        return loc[:-1]
    if detail["type"] == "missing":
        return loc[:-1]
    index = next((index for index, part in enumerate(loc) if isinstance(part, int)), len(loc))
    return loc[:index]


def _cut(value: Any, loc: Loc) -> None:
    for part in loc[:-1]:
        if not isinstance(value, dict) or part not in value:
            return
        value = value[part]
    if loc and isinstance(value, dict):
        value.pop(loc[-1], None)


def _tell(details: Sequence[Any], document: text.Document, faults: Faults) -> None:
    told = faults.places
    unknown_kinds = {tuple(detail["loc"][:-1]) for detail in details if detail["type"] == "kind"}
    for detail in details:
        loc = tuple(detail["loc"])
        if document.place(loc) in told:
            continue  # it could not even be read
        if detail["type"] == "extra_forbidden" and loc[:-1] in unknown_kinds:
            continue  # these keys belong to the other kind
        if loc and loc[-1] == "[key]":
            faults.add(document.key_place(loc[:-1]), loc[:-2], detail["msg"])
        elif detail["type"] == "extra_forbidden":
            faults.add(document.key_place(loc), loc[:-1], _unknown(loc))
        elif detail["type"] == "missing":
            faults.add(document.place(loc[:-1]), loc[:-1], f"the key {loc[-1]!r} is missing")
        else:
            faults.add(document.place(loc), _existing(loc, document), _words(detail))


def _existing(loc: Loc, document: text.Document) -> Loc:
    """Without the index of the only item that stood without a list."""
    return loc if loc in document.places or not isinstance(loc[-1], int) else loc[:-1]


def _unknown(loc: Loc) -> str:
    key = str(loc[-1])
    known = list(_model_at(loc[:-1]).model_fields)
    if key in _LATER and (len(loc) == 1 or "environment" in loc):
        return f"{key!r}: {_LATER[key]} not in this version (known here: {', '.join(known)})"
    hint = suggestion(key, known) or f" (known here: {', '.join(known)})"
    return f"unknown key {shown(key)}{hint}"


def _model_at(loc: Iterable[str | int]) -> type[BaseModel]:
    """The section that stands at a location."""
    model: type[BaseModel] = ProjectSection
    for part in loc:
        field = model.model_fields.get(str(part))
        if field is not None:
            model = next(iter(_sections(field.annotation)), model)
    return model


def _sections(annotation: Any) -> Iterable[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in getattr(annotation, "__args__", ()):
        yield from _sections(inner)


def _words(detail: Mapping[str, Any]) -> str:
    value = detail["input"]
    if isinstance(value, Nothing):
        return str(value)
    if detail["type"] in ("model_type", "dict_type", "model_attributes_type"):
        return f"{shown(value)} stands where a mapping is expected"
    if detail["type"] == "tuple_type":
        return f"{shown(value)} stands where a list is expected"
    return str(detail["msg"])
