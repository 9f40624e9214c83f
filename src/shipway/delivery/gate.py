"""
The gate: conditions on metrics, judged. Pure.

Every part of a condition is worked out, also where `and` or `or` could stop early: a metric that is missing must not hide.
"""

import itertools
import math
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from shipway.errors import GateError
from shipway.specs.conditions import Call, Comparison, Logic, Logical, Name, Number, Numeric, names
from shipway.specs.grammar import parse
from shipway.specs.models import CHAMPION, Condition, Outcome, Verdict
from shipway.specs.nearest import suggestion

FIRST = "first model"

_COMPARE = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "==": operator.eq, "!=": operator.ne,
}  # fmt: skip
_CALCULATE: Mapping[str, Callable[..., Any]] = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv, "**": operator.pow,
    "neg": operator.neg, "abs": abs, "min": min, "max": max,
}  # fmt: skip

Metrics = Mapping[str, float]


def judge(conditions: Sequence[str], metrics: Metrics, champion: Metrics | None) -> Verdict:
    """
    Judge a challenger's metrics, against the champion's on the same data; None: there is no champion yet.

    A condition that cannot be judged makes the verdict ERROR, else one that does not hold makes it HELD. `Verdict.champion` is the caller's to fill in.
    """
    judged = tuple(_judged(text, metrics, champion) for text in conditions)
    outcomes = {condition.outcome for condition in judged}
    outcome = next((found for found in (Outcome.ERROR, Outcome.HELD) if found in outcomes), Outcome.OPEN)
    return Verdict(outcome=outcome, conditions=judged)


def _judged(text: str, metrics: Metrics, champion: Metrics | None) -> Condition:
    try:
        node = parse(text)
        wrong = _wrong_names(node, metrics, champion)
        if wrong:
            return Condition(text=text, outcome=Outcome.ERROR, note="; ".join(wrong))
        if champion is None and any(name.champion for name in names(node)):
            return _first(text, node, metrics)
        return _decided(text, node, metrics, champion or {})
    except GateError as error:
        note = error.message if error.hint is None else f"{error.message} ({error.hint})"
        return Condition(text=text, outcome=Outcome.ERROR, note=note)


def _wrong_names(node: Logical, metrics: Metrics, champion: Metrics | None) -> list[str]:
    """Every metric that cannot be used, in words, each once."""
    found: dict[str, None] = {}
    for name in names(node):
        known = champion if name.champion else metrics
        if known is None:
            continue
        if name.metric not in known:
            whose = f"the {CHAMPION} has no metric" if name.champion else "there is no metric"
            found[f"{whose} {name.metric!r}{suggestion(name.metric, known)}"] = None
        elif (why := _unusable(known[name.metric])) is not None:
            found[f"{name} is {why}"] = None
    return list(found)


def _unusable(value: object) -> str | None:
    """Metrics come out of users' files, so what is called a number may be none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return f"{value!r}, not a number"
    try:
        return "not a number (NaN)" if math.isnan(float(value)) else None
    except OverflowError:
        return "too large"


def _first(text: str, node: Logical, metrics: Metrics) -> Condition:
    """Without a champion the condition holds, but its own part is still worked out."""
    sides: list[float | None] = [None, None]
    if isinstance(node, Comparison) and len(node.operands) == 2:
        own = [not any(name.champion for name in names(side)) for side in node.operands]
        sides = [_number(side, metrics, {}) if mine else None for side, mine in zip(node.operands, own, strict=True)]
    return Condition(text=text, outcome=Outcome.OPEN, left=sides[0], right=sides[1], note=FIRST)


def _decided(text: str, node: Logical, metrics: Metrics, champion: Metrics) -> Condition:
    outcome = Outcome.OPEN if _holds(node, metrics, champion) else Outcome.HELD
    if isinstance(node, Comparison):
        numbers = [_number(operand, metrics, champion) for operand in node.operands]
        left, right = _deciding(numbers, node.operators)
        return Condition(text=text, outcome=outcome, left=left, right=right)
    used = {str(name): _number(name, metrics, champion) for name in names(node)}
    return Condition(text=text, outcome=outcome, note=", ".join(f"{name} = {value:g}" for name, value in used.items()))


def _deciding(numbers: Sequence[float], operators: Sequence[str]) -> tuple[float, float]:
    """The pair of a chain that does not hold, else the first."""
    pairs = list(itertools.pairwise(numbers))
    return next((pair for pair, sign in zip(pairs, operators, strict=True) if not _COMPARE[sign](*pair)), pairs[0])


def _holds(node: Logical, metrics: Metrics, champion: Metrics) -> bool:
    if isinstance(node, Logic):
        parts = [_holds(part, metrics, champion) for part in node.arguments]
        if node.word == "not":
            return not parts[0]
        return all(parts) if node.word == "and" else any(parts)
    numbers = [_number(operand, metrics, champion) for operand in node.operands]
    return all(
        _COMPARE[sign](left, right) for left, sign, right in zip(numbers, node.operators, numbers[1:], strict=False)
    )


def _number(node: Numeric, metrics: Metrics, champion: Metrics) -> float:
    """Raises GateError where arithmetic has no answer."""
    if isinstance(node, Number):
        return node.value
    if isinstance(node, Name):
        return float((champion if node.champion else metrics)[node.metric])
    return _calculated(node, [_number(argument, metrics, champion) for argument in node.arguments])


def _calculated(node: Call, numbers: Sequence[float]) -> float:
    shown = f"{numbers[0]:g} {node.function} {numbers[-1]:g}" if len(numbers) == 2 else node.function
    try:
        result = _CALCULATE[node.function](*numbers)
    except ZeroDivisionError as error:
        raise GateError(f"{shown}: division by zero") from error
    except OverflowError as error:
        raise GateError(f"{shown}: the result is too large") from error
    if isinstance(result, complex) or math.isnan(result):
        raise GateError(f"{shown}: the result is not a number")
    if math.isinf(result) and not any(math.isinf(number) for number in numbers):
        raise GateError(f"{shown}: the result is too large")
    return float(result)
