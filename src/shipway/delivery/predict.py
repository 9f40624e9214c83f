"""
A file becomes a request: `.json`, `.csv` or a picture, in the shape that the model's metadata asks for.

    .json   a whole V1 or V2 request, a list of instances, or one instance
    .csv    a row is an instance; a first line of names is seen as such
    .png …  one picture, grey or in colour, as large as the model takes, with values from 0 to 255
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from shipway.delivery.calls import Caller
from shipway.delivery.pictures import SUFFIXES, read_picture
from shipway.delivery.samples import Protocol
from shipway.delivery.tables import read_table
from shipway.errors import NotFoundError, UsageError


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """`body` is the response as it came; `predictions` its values, one for each row where it was V1. `notes` say what was done to the file."""

    body: Mapping[str, Any]
    predictions: Sequence[Any]
    revision: str | None
    notes: tuple[str, ...] = ()


def predict(url: str, name: str, path: Path) -> Answer:
    """
    Send the content of the file to the model `name` at the endpoint's URL.

    Raises UsageError for a file that makes no request, or with the server's words where it refuses; NotFoundError, UnavailableError.
    """
    with Caller(url) as caller:
        protocol, body, notes = _request(caller, name, path)
        reply = caller.post(protocol.path(name), body)
    key = "predictions" if protocol is Protocol.V1 else "outputs"
    return Answer(body=reply.body, predictions=reply.body.get(key, []), revision=reply.revision, notes=notes)


def _request(caller: Caller, name: str, path: Path) -> tuple[Protocol, Mapping[str, Any], tuple[str, ...]]:
    suffix = path.suffix.lower()
    try:
        if suffix == ".json":
            content = _read_json(path)
            if isinstance(content, dict) and "inputs" in content and isinstance(content["inputs"], list):
                return Protocol.V2, content, ()
            if isinstance(content, dict) and "instances" in content:
                return Protocol.V1, content, ()
            return Protocol.V1, {"instances": instances(content, _inputs(caller, name))}, ()
        if suffix == ".csv":
            return Protocol.V1, {"instances": read_table(path, _inputs(caller, name))}, ()
        if suffix in SUFFIXES:
            picture, notes = read_picture(path, _inputs(caller, name))
            return Protocol.V1, {"instances": [picture]}, notes
    except FileNotFoundError as error:
        raise NotFoundError(f"there is no file {path}") from error
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}") from error
    raise UsageError(
        f"{path}: do not know how to send {suffix or 'such a file'}", hint=f"use .json, .csv or {', '.join(SUFFIXES)}"
    )


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except ValueError as error:
        raise UsageError(f"{path}: not JSON: {error}") from error


def _inputs(caller: Caller, name: str) -> Sequence[Mapping[str, Any]]:
    """The model's inputs as the endpoint describes them."""
    inputs = caller.get(f"/v2/models/{name}").body.get("inputs") or []
    return [tensor for tensor in inputs if isinstance(tensor, dict) and isinstance(tensor.get("shape"), list)]


def instances(content: Any, inputs: Sequence[Mapping[str, Any]]) -> list[Any]:
    """A list of instances as it is; one instance, which is an object, a value or a list as deep as one row of the input, in a list."""
    if not isinstance(content, list):
        return [content]
    if not content:
        raise UsageError("the file holds an empty list, which is no instance")
    depth = len(inputs[0]["shape"]) - 1 if len(inputs) == 1 else 1
    return [content] if depth > 0 and _depth(content) == depth else content


def _depth(content: Any) -> int:
    """How deep lists are nested; an object counts as deep enough to be an instance by itself."""
    if isinstance(content, dict):
        return 1
    return 1 + _depth(content[0]) if isinstance(content, list) and content else 0
