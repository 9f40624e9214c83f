"""
How a gate condition is read: `accuracy >= champion.accuracy - 0.005` becomes a small tree; nothing is ever evaluated as code.

    condition  = or;  or = and {"or" and};  and = not {"and" not};  not = "not" not | comparison
    comparison = sum {("<" | "<=" | ">" | ">=" | "==" | "!=") sum}
    sum        = term {("+" | "-") term};  term = unary {("*" | "/") unary};  unary = ("-" | "+") unary | power
    power      = primary ["**" unary]
    primary    = number | name | ("abs" | "min" | "max") "(" sum {"," sum} ")" | "(" or ")"

A name is a metric (`accuracy`, `test.loss`), or the champion's after `champion.`; one with other characters stands in backticks.
"""

import math
import re
from collections.abc import Callable
from typing import NoReturn

from shipway.specs.conditions import (
    Call,
    Comparison,
    ConditionError,
    Logic,
    Logical,
    Name,
    Node,
    Number,
    Numeric,
    names,
)
from shipway.specs.models import CHAMPION

LONGEST = 1000
DEEPEST = 40
FUNCTIONS = ("abs", "min", "max")
COMPARISONS = ("<", "<=", ">", ">=", "==", "!=")
_WORDS = ("and", "or", "not")
_TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?)"
    r"|(?P<name>[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z0-9_]+)*)"
    r"|`(?P<quoted>[^`]*)`"
    r"|(?P<op>\*\*|<=|>=|==|!=|[-+*/()<>,]))"
)
_INSTEAD = {
    "=": "write == to compare", "&": "write and", "|": "write or", "!": "write not, or != to compare", "%": "write 0.9 for 90 %",
    "≥": "write >=", "≤": "write <=", "≠": "write !=", "^": "write ** for a power", "`": "a name in backticks ends with one",
    ".": "a name cannot end with a dot",
}  # fmt: skip


def parse(text: str) -> Logical:
    """Raises ConditionError."""
    if len(text) > LONGEST:
        raise ConditionError(f"the condition is longer than {LONGEST} characters", column=LONGEST)
    parser = _Parser(text)
    whole = parser.either()
    if parser.kind != "end":
        parser.unexpected()
    node = parser.logical(whole)
    if not any(names(node)):
        raise ConditionError("the condition names no metric", column=1, hint="it would always say the same")
    return node


class _Parser:
    """Recursive descent with one token of look-ahead: `kind`, `value`, and `column` where it begins."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._depth = 0
        self._next()

    def _next(self) -> None:
        rest = self._text[self._at :]
        self.column = self._at + len(rest) - len(rest.lstrip()) + 1
        if not rest.strip():
            self.kind, self.value = "end", ""
            return
        found = _TOKEN.match(self._text, self._at)
        if found is None:
            char = self._text[self.column - 1]
            raise ConditionError(f"{char!r} cannot stand here", column=self.column, hint=_INSTEAD.get(char))
        self.kind, self.value = str(found.lastgroup), str(found[found.lastgroup or 0])
        if self.kind == "name" and self.value in _WORDS:
            self.kind = "op"
        self._at = found.end()

    def fail(self, message: str, column: int, hint: str | None = None) -> NoReturn:
        raise ConditionError(message, column=column, hint=hint)

    def unexpected(self) -> NoReturn:
        if self.kind == "end":
            self.fail("the condition ends too early", self.column)
        self.fail(f"{self.value!r} is not expected here", self.column)

    def _takes(self, *values: str) -> str | None:
        if self.kind != "op" or self.value not in values:
            return None
        taken = self.value
        self._next()
        return taken

    def logical(self, node: Node, column: int = 1) -> Logical:
        if not isinstance(node, Comparison | Logic):
            self.fail("a number stands where a comparison is expected", column, "compare it: accuracy >= 0.9")
        return node

    def numeric(self, node: Node, column: int) -> Numeric:
        if not isinstance(node, Number | Name | Call):
            self.fail("a comparison stands where a number is expected", column, "join comparisons with and, or, not")
        return node

    def either(self) -> Node:
        return self._joined("or", self._both)

    def _both(self) -> Node:
        return self._joined("and", self._negated)

    def _joined(self, word: str, part: Callable[[], Node]) -> Node:
        column = self.column
        node = part()
        arguments: list[Logical] = []
        while self._takes(word):
            if not arguments:
                arguments.append(self.logical(node, column))
            column = self.column
            arguments.append(self.logical(part(), column))
        return Logic(word, tuple(arguments)) if arguments else node

    def _deeper(self, column: int) -> None:
        self._depth += 1
        if self._depth > DEEPEST:
            self.fail(f"the condition is nested deeper than {DEEPEST}", column)

    def _negated(self) -> Node:
        column = self.column
        if not self._takes("not"):
            return self._comparison()
        self._deeper(column)
        column = self.column
        node = Logic("not", (self.logical(self._negated(), column),))
        self._depth -= 1
        return node

    def _comparison(self) -> Node:
        column = self.column
        node = self._sum()
        operands, operators = [node], []
        while operator := self._takes(*COMPARISONS):
            operators.append(operator)
            inner = self.column
            operands.append(self.numeric(self._sum(), inner))
        if not operators:
            return node
        return Comparison((self.numeric(node, column), *operands[1:]), tuple(operators))  # type: ignore[arg-type]  # checked above

    def _sum(self) -> Node:
        return self._chain(("+", "-"), self._term)

    def _term(self) -> Node:
        return self._chain(("*", "/"), self._unary)

    def _chain(self, operators: tuple[str, ...], part: Callable[[], Node]) -> Node:
        column = self.column
        node = part()
        length = 0
        while operator := self._takes(*operators):
            length += 1
            self._deeper(column)  # a chain leans to the left, one level for each operator
            inner = self.column
            node = Call(operator, (self.numeric(node, column), self.numeric(part(), inner)))
        self._depth -= length
        return node

    def _unary(self) -> Node:
        column = self.column
        sign = self._takes("-", "+")
        if sign is None:
            return self._power()
        self._deeper(column)
        column = self.column
        node = self.numeric(self._unary(), column)
        self._depth -= 1
        return Call("neg", (node,)) if sign == "-" else node

    def _power(self) -> Node:
        column = self.column
        base = self._primary()
        if not self._takes("**"):
            return base
        self._deeper(column)
        inner = self.column
        node = Call("**", (self.numeric(base, column), self.numeric(self._unary(), inner)))
        self._depth -= 1
        return node

    def _primary(self) -> Node:
        kind, value, column = self.kind, self.value, self.column
        if kind == "op" and value == "(":
            self._deeper(column)
            self._next()
            node = self.either()
            self._close(column)
            self._depth -= 1
            return node
        if kind not in ("number", "name", "quoted"):
            self.unexpected()
        self._next()
        if kind == "number":
            return self._number(value, column)
        if kind == "name" and self.kind == "op" and self.value == "(":
            return self._call(value, column)
        return self._name(value, column)

    def _close(self, opened: int) -> None:
        if not self._takes(")"):
            if self.kind == "end":
                self.fail("the parenthesis is not closed", opened)
            self.unexpected()

    def _number(self, text: str, column: int) -> Number:
        if self.kind in ("name", "number", "quoted") and self.column == column + len(text):
            self.fail(
                f"{text}{self.value} is neither a number nor a name", column, "names of that kind stand in backticks"
            )
        if math.isinf(value := float(text)):
            self.fail(f"{text} is too large", column)
        return Number(value)

    def _call(self, function: str, column: int) -> Call:
        if function not in FUNCTIONS:
            self.fail(f"there is no function {function}", column, f"there are {', '.join(FUNCTIONS)}")
        self._deeper(column)
        self._next()
        arguments = []
        while True:
            inner = self.column
            arguments.append(self.numeric(self._sum(), inner))
            if not self._takes(","):
                break
        self._close(column)
        self._depth -= 1
        if function == "abs" and len(arguments) != 1:
            self.fail("abs takes one number", column)
        if function != "abs" and len(arguments) < 2:
            self.fail(f"{function} takes two numbers or more", column)
        return Call(function, tuple(arguments))

    def _name(self, name: str, column: int) -> Name:
        head, dot, metric = name.partition(".")
        if head == CHAMPION:
            if not dot or not metric or metric.partition(".")[0] == CHAMPION:
                self.fail(f"{name} is no metric", column, f"name one: {CHAMPION}.accuracy")
            return Name(metric, champion=True)
        if not name.strip():
            self.fail("the name is empty", column)
        return Name(name)
