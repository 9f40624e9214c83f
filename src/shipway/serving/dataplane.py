"""
From named tensors to named tensors: check against the metadata, run, name the outputs.

Rule: it knows no transport. V1, V2 and whatever comes later turn their bodies into a `Call` and its outputs into theirs.
"""

from collections.abc import Callable, Mapping, Sequence

import msgspec

from shipway.serving.batching import Batcher, Job, Outputs
from shipway.serving.faults import InvalidInputError, ModelError
from shipway.serving.model import Model, Tensor
from shipway.serving.settings import Batch
from shipway.serving.tensors import Array, cast

Failed = Callable[[BaseException], None]


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """What a caller asks: all inputs by name, and the outputs it wants; None: all of them."""

    inputs: Mapping[str, Array]
    outputs: Sequence[str] | None = None


class DataPlane:
    """`failed` is told of each failure of the model, for the log."""

    def __init__(self, model: Model, batch: Batch, observe: Callable[[int], None], failed: Failed) -> None:
        self.inputs = {tensor.name: tensor for tensor in model.inputs}
        self.outputs = {tensor.name: tensor for tensor in model.outputs}
        self._all = tuple(self.outputs)
        self._sets = {self._all: frozenset(self._all)}
        self._stacked = model.batchable
        self._batcher = Batcher(model, batch, observe)
        self._failed = failed

    def infer(self, call: Call, done: Callable[[Outputs | Exception], None]) -> None:
        """
        Answer through `done`, once: the wanted outputs in the wanted order, InvalidInputError or ModelError.

        Raises InvalidInputError at once for what the metadata rules out.
        """
        inputs = self._inputs(call.inputs)
        wanted = self._wanted(call.outputs)
        names = self._sets.get(wanted) or frozenset(wanted)

        def answer(result: Outputs | Exception) -> None:
            if isinstance(result, InvalidInputError):
                done(result)
            elif isinstance(result, Exception):
                self._failed(result)
                done(
                    ModelError(f"the model failed: {type(result).__name__}", hint="the server's log has the traceback")
                )
            else:
                done({name: result[name] for name in wanted})

        self._batcher.submit(Job(inputs, names, answer))

    def _inputs(self, given: Mapping[str, Array]) -> dict[str, Array]:
        for name in given:
            if name not in self.inputs:
                raise InvalidInputError(f"there is no input {name!r}", hint=f"the model takes {_listed(self.inputs)}")
        checked = {}
        for name, tensor in self.inputs.items():
            if name not in given:
                raise InvalidInputError(f"input {name!r} is missing", hint=f"the model takes {_listed(self.inputs)}")
            checked[name] = _check(given[name], tensor)
        if self._stacked:
            _same_rows(checked)
        return checked

    def _wanted(self, names: Sequence[str] | None) -> tuple[str, ...]:
        if not names:
            return self._all
        for name in names:
            if name not in self.outputs:
                raise InvalidInputError(f"there is no output {name!r}", hint=f"the model gives {_listed(self.outputs)}")
        if len(set(names)) < len(names):
            raise InvalidInputError("outputs: a name stands twice")
        return tuple(names)


def _check(array: Array, tensor: Tensor) -> Array:
    shape = tensor.shape
    if len(shape) != array.ndim or any(want not in (-1, got) for want, got in zip(shape, array.shape, strict=True)):
        raise InvalidInputError(f"input {tensor.name!r}: got shape {list(array.shape)}, the model takes {list(shape)}")
    if array.size == 0:
        raise InvalidInputError(f"input {tensor.name!r}: shape {list(array.shape)} holds no values")
    return cast(array, tensor.datatype, f"input {tensor.name!r}")


def _same_rows(inputs: Mapping[str, Array]) -> None:
    rows = {name: len(array) for name, array in inputs.items()}
    if len(set(rows.values())) > 1:
        counts = ", ".join(f"{name!r} has {count}" for name, count in rows.items())
        raise InvalidInputError(f"inputs have different numbers of rows: {counts}")


def _listed(tensors: Mapping[str, Tensor]) -> str:
    return ", ".join(repr(name) for name in tensors)
