"""What every kind of model looks like to the data plane: named tensors in, named tensors out."""

from collections.abc import Mapping, Sequence, Set
from typing import Protocol

import msgspec
from msgspec import UNSET, UnsetType

from shipway.serving.tensors import Array


class Tensor(msgspec.Struct, frozen=True, kw_only=True):
    """
    One input or output as the metadata shows it; -1 is a size that may vary.

    `parameters` may hold `classes` (of a probability, in the order of its last axis) and `columns` (of an input).
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    parameters: Mapping[str, Sequence[str | int | float | bool]] | UnsetType = UNSET


class Model(Protocol):
    """
    A loaded model; called by one thread at a time.

    `batchable`: the first axis of every input and output counts rows, and a row's result doesn't depend on the rows beside it.
    """

    platform: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    batchable: bool

    def predict(self, inputs: Mapping[str, Array], wanted: Set[str]) -> Mapping[str, Array]:
        """
        Return at least the wanted outputs.

        Raises InvalidInputError where the model finds the values themselves at fault; anything else is the model's own failure.
        """
        ...
