"""The reference of `shipway.yaml`, made from the models that check it."""

from collections.abc import Iterator
from typing import Annotated, Any, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from shipway.config.fields import Written
from shipway.config.schema import (
    EndpointSection,
    EnvironmentSection,
    ModelSection,
    ProjectSection,
    ResourcesSection,
    SiteSection,
    StageSection,
    words,
)

_SECTIONS: dict[str, type[BaseModel]] = {
    "The file": ProjectSection,
    "environment": EnvironmentSection,
    "stages.NAME": StageSection,
    "stages.NAME.resources": ResourcesSection,
    "sites.NAME": SiteSection,
    "model": ModelSection,
    "endpoints.NAME": EndpointSection,
}


def reference() -> str:
    """A Markdown table for each section."""
    return "\n".join(line for title, model in _SECTIONS.items() for line in _section(title, model))


def _section(title: str, model: type[BaseModel]) -> Iterator[str]:
    heading = title if model is ProjectSection else f"`{title}`"
    yield from (
        f"### {heading}",
        "",
        (model.__doc__ or "").strip(),
        "",
        "| key | written as | default | |",
        "|---|---|---|---|",
    )
    for key, field in model.model_fields.items():
        yield f"| `{key}` | {_written(field)} | {_default(field)} | {field.description} |"
    yield ""


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    return "" if field.default is None else f"`{words(field.default)}`"


def _written(field: FieldInfo) -> str:
    found = next((mark for mark in field.metadata if isinstance(mark, Written)), None)
    return found.how if found else _how(field.annotation)


def _how(annotation: Any) -> str:
    if get_origin(annotation) is Annotated:
        return next((mark.how for mark in get_args(annotation)[1:] if isinstance(mark, Written)), "")
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "keys, see below"
    if get_origin(annotation) is dict:
        return "names, each with keys, see below"
    return next((how for part in get_args(annotation) if (how := _how(part))), "")
