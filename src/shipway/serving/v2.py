"""The Open Inference Protocol (KServe V2) as JSON: https://github.com/kserve/open-inference-protocol, `inference_rest`."""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from shipway.serving.batching import Outputs
from shipway.serving.dataplane import Call
from shipway.serving.faults import InvalidInputError
from shipway.serving.model import Model, Tensor
from shipway.serving.settings import Settings
from shipway.serving.tensors import Array, datatype_of, from_json, in_words, reshape, to_list

Parameters = dict[str, str | int | float | bool]


class Input(msgspec.Struct, frozen=True):
    name: str
    shape: list[int]
    datatype: str
    data: msgspec.Raw | UnsetType = UNSET
    parameters: Parameters | UnsetType = UNSET


class Wanted(msgspec.Struct, frozen=True):
    name: str
    parameters: Parameters | UnsetType = UNSET


class Request(msgspec.Struct, frozen=True):
    inputs: list[Input]
    id: str | UnsetType = UNSET
    parameters: Parameters | UnsetType = UNSET
    outputs: list[Wanted] | UnsetType = UNSET


class Output(msgspec.Struct, frozen=True):
    name: str
    datatype: str
    shape: tuple[int, ...]
    data: list[Any]
    parameters: Mapping[str, Any] | UnsetType = UNSET


class Response(msgspec.Struct, frozen=True):
    model_name: str
    model_version: str
    outputs: list[Output]
    id: str | UnsetType = UNSET


class ModelMetadata(msgspec.Struct, frozen=True):
    name: str
    versions: list[str]
    platform: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


_decode: Callable[[bytes], Request] = msgspec.json.Decoder(Request).decode
_encode = msgspec.json.Encoder().encode


def read(body: bytes) -> tuple[Call, str | UnsetType]:
    """Return the call and its id. Raises InvalidInputError."""
    try:
        request = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInputError(in_words(error)) from error
    inputs: dict[str, Array] = {}
    for tensor in request.inputs:
        if tensor.name in inputs:
            raise InvalidInputError(f"input {tensor.name!r} stands twice")
        inputs[tensor.name] = _array(tensor)
    outputs = None if request.outputs is UNSET else [wanted.name for wanted in request.outputs]
    return Call(inputs=inputs, outputs=outputs), request.id


def write(outputs: Outputs, id: str | UnsetType, settings: Settings, described: Mapping[str, Tensor]) -> bytes:
    """`described` is what the metadata says of each output."""
    tensors = [
        Output(name, datatype_of(array.dtype), array.shape, to_list(array), described[name].parameters)
        for name, array in outputs.items()
    ]
    return _encode(Response(settings.name, settings.version, tensors, id))


def metadata(model: Model, settings: Settings) -> bytes:
    return _encode(ModelMetadata(settings.name, [settings.version], model.platform, model.inputs, model.outputs))


def _array(tensor: Input) -> Array:
    if tensor.data is UNSET:
        hint = "the binary tensor extension is not supported; send the values as JSON"
        raise InvalidInputError(f"input {tensor.name!r} has no data", hint=hint)
    place = f"input {tensor.name!r}"
    return reshape(from_json(memoryview(tensor.data), tensor.datatype, f"{place}.data"), tensor.shape, place)
