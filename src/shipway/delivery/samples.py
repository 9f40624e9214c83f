"""
Samples: requests with the predictions made offline, which verification sends to an endpoint.

A samples file is JSON in one of the two protocols that models are served by:

    {"instances": [...], "predictions": [...]}      KServe V1; as many predictions as instances
    {"inputs": [...], "outputs": [...]}             V2 / Open Inference Protocol tensors
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Any

import msgspec

from shipway.errors import ConfigError


class Protocol(StrEnum):
    V1 = "v1"
    V2 = "v2"

    def path(self, model: str) -> str:
        """Where the requests go, below an endpoint's URL."""
        return f"/v1/models/{model}:predict" if self is Protocol.V1 else f"/v2/models/{model}/infer"


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """One request body and what must come back: predictions (V1) or output tensors (V2). `first` is the row at which it begins."""

    body: Mapping[str, Any]
    expected: Sequence[Any]
    first: int


class Samples(msgspec.Struct, frozen=True, kw_only=True):
    """`inputs` and `outputs` are instances and predictions (V1), or lists of tensors (V2). `rows` counts what is compared."""

    protocol: Protocol
    inputs: Sequence[Any]
    outputs: Sequence[Any]
    rows: int

    def batches(self, size: int) -> Iterator[Batch]:
        """Requests of at most `size` rows each; V2 tensors that do not share their first axis go in one."""
        if self.protocol is Protocol.V1:
            for first in range(0, self.rows, size):
                part = slice(first, first + size)
                yield Batch(body={"instances": self.inputs[part]}, expected=self.outputs[part], first=first)
            return
        if not _share_rows((*self.inputs, *self.outputs)):
            yield Batch(body={"inputs": self.inputs}, expected=self.outputs, first=0)
            return
        for first in range(0, self.rows, size):
            last = min(first + size, self.rows)
            cut = [[_cut(tensor, first, last) for tensor in tensors] for tensors in (self.inputs, self.outputs)]
            yield Batch(body={"inputs": cut[0]}, expected=cut[1], first=first)


def read_samples(data: bytes, name: str) -> Samples:
    """`name` is the file as the user knows it. Raises ConfigError with every fault that was found."""
    try:
        # Not msgspec: a prediction may be NaN, which Python writes although JSON has no word for it.
        content = json.loads(data)
    except ValueError as error:
        raise ConfigError([f"{name}: not JSON: {error}"]) from error
    keys = set(content) if isinstance(content, dict) else set()
    if keys == {"instances", "predictions"}:
        return _first(content, name)
    if keys == {"inputs", "outputs"}:
        return _second(content, name)
    found = ", ".join(sorted(keys)) if isinstance(content, dict) else type(content).__name__
    hint = 'write {"instances": [...], "predictions": [...]} or V2 {"inputs": [...], "outputs": [...]}'
    raise ConfigError([f"{name}: samples need two keys and no other, found {found or 'none'}"], hint=hint)


def _first(content: Mapping[str, Any], name: str) -> Samples:
    problems = [
        f"{name}: {key} is not a list" for key in ("instances", "predictions") if not isinstance(content[key], list)
    ]
    if problems:
        raise ConfigError(problems)
    inputs, outputs = content["instances"], content["predictions"]
    if len(inputs) != len(outputs):
        raise ConfigError([f"{name}: {len(inputs)} instances but {len(outputs)} predictions"])
    if not inputs:
        raise ConfigError([f"{name}: there are no samples in it"], hint="write a few, or leave `samples` out")
    return Samples(protocol=Protocol.V1, inputs=inputs, outputs=outputs, rows=len(inputs))


def _second(content: Mapping[str, Any], name: str) -> Samples:
    problems = []
    for key in ("inputs", "outputs"):
        tensors = content[key]
        if not isinstance(tensors, list) or not tensors:
            problems.append(f"{name}: {key} is not a list of tensors" if tensors != [] else f"{name}: {key} is empty")
            continue
        for at, tensor in enumerate(tensors):
            problems += [f"{name}: {key}[{at}]: {fault}" for fault in _faults(tensor, needs_type=key == "inputs")]
    if problems:
        raise ConfigError(problems)
    rows = content["outputs"][0]["shape"][0]
    if rows == 0:
        raise ConfigError([f"{name}: there are no samples in it"], hint="write a few, or leave `samples` out")
    return Samples(protocol=Protocol.V2, inputs=content["inputs"], outputs=content["outputs"], rows=rows)


def _faults(tensor: Any, *, needs_type: bool) -> Iterator[str]:
    if not isinstance(tensor, dict):
        yield "not an object"
        return
    needed = ("name", "shape", "datatype", "data") if needs_type else ("name", "shape", "data")
    missing = [key for key in needed if key not in tensor]
    if missing:
        yield f"{', '.join(missing)} missing"
        return
    shape = tensor["shape"]
    if not (isinstance(shape, list) and shape and all(type(size) is int and size >= 0 for size in shape)):
        yield f"shape {shape!r} is not a list of sizes"
    elif not isinstance(tensor["data"], list):
        yield "data is not a list"
    elif len(flat(tensor["data"])) != math.prod(shape):
        yield f"{len(flat(tensor['data']))} values do not fill shape {shape}"


def flat(data: Any) -> list[Any]:
    """The values of nested lists in row-major order."""
    if not any(isinstance(item, list) for item in data):
        return list(data)
    return [value for item in data for value in (flat(item) if isinstance(item, list) else [item])]


def _share_rows(tensors: Sequence[Mapping[str, Any]]) -> bool:
    return len({tensor["shape"][0] for tensor in tensors}) == 1


def _cut(tensor: Mapping[str, Any], first: int, last: int) -> Mapping[str, Any]:
    width = math.prod(tensor["shape"][1:])
    return {
        **tensor,
        "shape": [last - first, *tensor["shape"][1:]],
        "data": flat(tensor["data"])[first * width : last * width],
    }
