"""The gate against Python itself: random expressions mean the same, and random text is a condition or refused."""

import math
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from shipway.delivery.gate import judge
from shipway.specs.conditions import ConditionError
from shipway.specs.grammar import parse
from shipway.specs.models import Outcome

NAMES = ["a", "b", "test.c", "champion.a", "champion.test.c"]
QUICK = settings(max_examples=150, deadline=None)


class Champion:
    """So that Python reads the dotted names as we do."""

    def __init__(self, values: dict[str, float]) -> None:
        self.__dict__.update(values)


def _binary(inner: st.SearchStrategy[str], *operators: str) -> st.SearchStrategy[str]:
    return st.builds("{} {} {}".format, inner, st.sampled_from(operators), inner)


NUMBERS = st.recursive(
    st.sampled_from([*NAMES, "0", "1", "2.5", "1e2", ".5", "1e200"]),
    lambda inner: (
        _binary(inner, "+", "-", "*", "/", "**")
        | inner.map("({})".format)
        | inner.map("-{}".format)
        | inner.map("abs({})".format)
        | st.builds("{}({}, {})".format, st.sampled_from(["min", "max"]), inner, inner)
    ),
    max_leaves=8,
)
COMPARISONS = _binary(NUMBERS, "<", "<=", ">", ">=", "==", "!=") | st.builds(
    "{} < {} >= {}".format, NUMBERS, NUMBERS, NUMBERS
)
CONDITIONS = st.recursive(
    COMPARISONS,
    lambda inner: _binary(inner, "and", "or") | inner.map("({})".format) | inner.map("not {}".format),
    max_leaves=5,
)
FLOATS = st.sampled_from([0.0, 0.5, 1.0, -1.5, 3.0, 1e-3, 1e150])


def oracle(text: str, metrics: dict[str, float]) -> bool | None:
    """What Python says; None where any part of it has no finite answer, which Python would only see in the parts that it reaches."""
    import ast

    namespace: dict[str, Any] = {"a": metrics["a"], "b": metrics["b"], "test": Champion({"c": metrics["test.c"]})}
    champion = {"a": metrics["champion.a"], "test": Champion({"c": metrics["champion.test.c"]})}
    namespace |= {"champion": Champion(champion), "abs": abs, "min": min, "max": max}  # type: ignore[arg-type]
    tree = ast.parse(text, mode="eval")
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant):
            node.value = float(node.value)  # type: ignore[arg-type]  # whole numbers overflow later than floats do
    for node in ast.walk(tree):
        if isinstance(node, ast.BinOp | ast.UnaryOp | ast.Call) and not isinstance(getattr(node, "op", None), ast.Not):
            try:
                value = _run(node, namespace)
            except (ArithmeticError, TypeError):
                return None
            if isinstance(value, complex) or not math.isfinite(value):
                return None
    return bool(_run(tree.body, namespace))


def refusal(text: str) -> ConditionError | None:
    try:
        parse(text)
    except ConditionError as error:
        return error
    return None


def _run(node: Any, namespace: dict[str, Any]) -> Any:
    import ast

    return eval(compile(ast.Expression(node), "<oracle>", "eval"), {"__builtins__": {}}, namespace)  # noqa: S307  the test's own text


@QUICK
@given(CONDITIONS, st.fixed_dictionaries(dict.fromkeys(NAMES, FLOATS)))
def test_random_conditions_mean_what_they_mean_in_python(text: str, values: dict[str, float]) -> None:
    metrics = {name: value for name, value in values.items() if not name.startswith("champion.")}
    champion = {name.removeprefix("champion."): value for name, value in values.items() if name.startswith("champion.")}
    if (refused := refusal(text)) is not None:
        assert "names no metric" in refused.message or "longer" in refused.message
        return
    expected = oracle(text, values)
    wanted = Outcome.ERROR if expected is None else Outcome.OPEN if expected else Outcome.HELD
    assert judge([text], metrics, champion).outcome is wanted


@QUICK
@given(
    st.text(max_size=30)
    | st.lists(
        st.sampled_from(
            [*"abc()+-*/<>=.,`! \t\n&|%_0159e", "**", "and ", " or ", "not ", "champion.", "min(", "abs(", "é"]
        ),
        max_size=25,
    ).map("".join)
)
def test_any_text_is_a_condition_or_refused_at_a_column_of_it(text: str) -> None:
    if (refused := refusal(text)) is not None:
        assert 1 <= refused.column <= len(text) + 1
        assert refused.message
    else:
        assert judge([text], {"a": 1.0}, None).outcome in Outcome


@QUICK
@given(CONDITIONS)
def test_without_metrics_no_condition_passes(text: str) -> None:
    assert judge([text], {}, {}).outcome is Outcome.ERROR
