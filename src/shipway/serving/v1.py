"""
KServe's V1 protocol: `{"instances": [...]}` in, `{"predictions": [...]}` out.

An instance is a value or nested array for a model of one input, or an object: by input name, or by column name where the one input
has named columns. A prediction is the label of a classifier, else the value of the one output, else an object by output name.
"""

from collections.abc import Callable, Mapping, Sequence

import msgspec
import numpy as np
from msgspec import UNSET, UnsetType

from shipway.serving.batching import Outputs
from shipway.serving.dataplane import Call
from shipway.serving.faults import InvalidInputError
from shipway.serving.model import Tensor
from shipway.serving.tensors import Array, from_json, in_words, to_list


class Request(msgspec.Struct, frozen=True):
    instances: msgspec.Raw
    signature_name: str | UnsetType | None = UNSET


_decode: Callable[[bytes], Request] = msgspec.json.Decoder(Request).decode
_decode_rows: Callable[[memoryview], list[dict[str, msgspec.Raw]]] = msgspec.json.Decoder(
    list[dict[str, msgspec.Raw]]
).decode
_encode = msgspec.json.Encoder().encode

LABEL = "label"


def read(body: bytes, inputs: Mapping[str, Tensor], outputs: Mapping[str, Tensor]) -> Call:
    """Raises InvalidInputError."""
    try:
        raw = memoryview(_decode(body).instances)
        named = (first := _first(raw)) == b"{"
        rows = _decode_rows(raw) if named else []
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInputError(in_words(error, "instances")) from error
    if first == b"]":
        raise InvalidInputError("instances: the array is empty")
    wanted = [LABEL] if LABEL in outputs else None
    return Call(inputs=_named(rows, inputs) if named else _plain(raw, inputs), outputs=wanted)


def write(outputs: Outputs) -> bytes:
    lists = {name: to_list(array, flat=False) for name, array in outputs.items()}
    if len(lists) == 1:
        return _encode({"predictions": next(iter(lists.values()))})
    return _encode({"predictions": [dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)]})


def _plain(raw: memoryview, inputs: Mapping[str, Tensor]) -> dict[str, Array]:
    if len(inputs) > 1:
        names = ", ".join(inputs)
        raise InvalidInputError(
            "instances: the model has several inputs", hint=f"make each instance an object with {names}"
        )
    tensor = next(iter(inputs.values()))
    return {tensor.name: _fit(from_json(raw, tensor.datatype, "instances"), tensor)}


def _named(rows: Sequence[Mapping[str, msgspec.Raw]], inputs: Mapping[str, Tensor]) -> dict[str, Array]:
    only = next(iter(inputs.values()))
    columns = {} if only.parameters is UNSET else only.parameters
    if len(inputs) == 1 and "columns" in columns and only.name not in rows[0]:
        names = [str(column) for column in columns["columns"]]
        lists = [_column(rows, name, only.datatype, names) for name in names]
        return {only.name: np.stack(lists, axis=-1)}
    return {name: _fit(_column(rows, name, tensor.datatype, inputs), tensor) for name, tensor in inputs.items()}


def _column(
    rows: Sequence[Mapping[str, msgspec.Raw]], name: str, datatype: str, known: Sequence[str] | Mapping[str, Tensor]
) -> Array:
    values = []
    for index, row in enumerate(rows):
        if name not in row:
            raise InvalidInputError(f"instances[{index}]: {name!r} is missing")
        if len(row) > len(known):
            unknown = next(key for key in row if key not in known)
            raise InvalidInputError(f"instances[{index}]: there is no input {unknown!r}")
        values.append(bytes(row[name]))
    return from_json(b"[" + b",".join(values) + b"]", datatype, f"instances[…].{name}")


def _fit(array: Array, tensor: Tensor) -> Array:
    """A column of shape [-1, 1] may be written as bare values."""
    return array[:, np.newaxis] if array.ndim == 1 and tensor.shape == (-1, 1) else array


def _first(raw: memoryview) -> bytes:
    """The first byte inside the array."""
    return bytes(raw[:256]).lstrip(b" \t\r\n").removeprefix(b"[").lstrip(b" \t\r\n")[:1]
