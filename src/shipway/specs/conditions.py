"""Gate conditions as small trees: comparisons of metrics, joined by `and`, `or` and `not`. `grammar.py` reads them from text."""

from collections.abc import Iterator

import msgspec

from shipway.errors import GateError
from shipway.specs.models import CHAMPION


class ConditionError(GateError):
    """The condition is not one; `column` counts from 1."""

    def __init__(self, message: str, *, column: int, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.column = column


class Number(msgspec.Struct, frozen=True, tag="number"):
    value: float


class Name(msgspec.Struct, frozen=True, tag="name"):
    """`metric` is the name without `champion.`."""

    metric: str
    champion: bool = False

    def __str__(self) -> str:
        return f"{CHAMPION}.{self.metric}" if self.champion else self.metric


class Call(msgspec.Struct, frozen=True, tag="call"):
    """Arithmetic: `+ - * / **` with two arguments, `neg` with one, or one of FUNCTIONS."""

    function: str
    arguments: "tuple[Numeric, ...]"


class Comparison(msgspec.Struct, frozen=True, tag="comparison"):
    """`operands` has one more than `operators`: `0.9 <= accuracy <= 1` is a chain."""

    operands: "tuple[Numeric, ...]"
    operators: tuple[str, ...]


class Logic(msgspec.Struct, frozen=True, tag="logic"):
    """`and`, `or`, or `not` with one argument."""

    word: str
    arguments: "tuple[Logical, ...]"


Numeric = Number | Name | Call
Logical = Comparison | Logic
Node = Number | Name | Call | Comparison | Logic


def names(node: Node) -> Iterator[Name]:
    """Every name in the condition, as often as it stands there."""
    if isinstance(node, Name):
        yield node
    elif isinstance(node, Comparison):
        for operand in node.operands:
            yield from names(operand)
    elif isinstance(node, Call | Logic):
        for argument in node.arguments:
            yield from names(argument)
