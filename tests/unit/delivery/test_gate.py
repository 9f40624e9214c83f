"""The gate: what a condition may say, and how it is judged."""

import math

import pytest

from shipway.delivery.gate import judge
from shipway.specs.conditions import ConditionError
from shipway.specs.grammar import parse
from shipway.specs.models import Condition, Outcome, Verdict

METRICS = {
    "accuracy": 0.93,
    "loss": 0.2,
    "test.f1": 0.9,
    "top-5": 0.99,
    "per_class.0.f1": 0.7,
    "steps": 100,
    "min": 1.0,
}
CHAMPION = {"accuracy": 0.92, "loss": 0.25}


def only(text: str, champion: dict[str, float] | None = CHAMPION) -> Condition:
    (condition,) = judge([text], METRICS, champion).conditions
    return condition


# Verdicts


def test_conditions_that_all_hold_open_the_gate() -> None:
    assert judge(["accuracy >= 0.9", "loss < champion.loss"], METRICS, CHAMPION) == Verdict(
        outcome=Outcome.OPEN,
        conditions=(
            Condition(text="accuracy >= 0.9", outcome=Outcome.OPEN, left=0.93, right=0.9),
            Condition(text="loss < champion.loss", outcome=Outcome.OPEN, left=0.2, right=0.25),
        ),
    )


def test_one_condition_that_does_not_hold_holds_the_model_back() -> None:
    verdict = judge(["accuracy >= 0.9", "accuracy >= 0.95"], METRICS, CHAMPION)
    assert verdict.outcome is Outcome.HELD
    assert [condition.outcome for condition in verdict.conditions] == [Outcome.OPEN, Outcome.HELD]


def test_an_error_outweighs_a_condition_that_does_not_hold() -> None:
    assert judge(["accuracy >= 0.95", "recall > 0"], METRICS, CHAMPION).outcome is Outcome.ERROR


def test_a_gate_without_conditions_is_open() -> None:
    assert judge([], METRICS, None) == Verdict(outcome=Outcome.OPEN)


@pytest.mark.parametrize(
    "text",
    [
        "accuracy > 0.9 and loss < 1", "accuracy > 1 or loss < 1", "not accuracy > 1", "not not accuracy < 1", "0.9 <= accuracy <= 1",
        "abs(loss - 0.3) < 0.2", "min(accuracy, loss) == 0.2", "max(accuracy, test.f1, 1) == 1", "-loss < 0", "+loss > 0", "-loss ** 2 < 0",
        "2 ** -1 <= accuracy", "accuracy - loss - 0.1 > 0.5", "steps / 10 / 10 == steps / 100", "1 - 0.08 * 2 < accuracy", "`top-5` > 0.9",
        "per_class.0.f1 > .5", "(accuracy) > (0.5)", "(accuracy > 0.5)", "accuracy != 1", "steps == 1e2", "2 ** 3 ** 2 == 512 + 0 * loss",
        "min == 1", "accuracy > 1 or loss > 1 or steps > 1 and min == 1", "accuracy >= champion.accuracy - 0.005", "accuracy>=.5and loss<1",
    ],
)  # fmt: skip
def test_these_hold(text: str) -> None:
    assert only(text).outcome is Outcome.OPEN


@pytest.mark.parametrize(
    "text",
    ["accuracy > 0.93", "accuracy < 0.5 < loss", "0.95 <= accuracy <= 1", "not (accuracy > 0.9 or loss > 1)", "accuracy > 1 and loss < 1",
     "accuracy < champion.accuracy", "(accuracy > 1 or loss < 1) and steps > 100"],
)  # fmt: skip
def test_these_do_not_hold(text: str) -> None:
    assert only(text).outcome is Outcome.HELD


# What is shown


def test_a_chain_shows_the_pair_that_does_not_hold() -> None:
    assert only("0.5 <= accuracy <= 0.9") == Condition(
        text="0.5 <= accuracy <= 0.9", outcome=Outcome.HELD, left=0.93, right=0.9
    )
    assert (only("0.5 <= accuracy <= 1").left, only("0.5 <= accuracy <= 1").right) == (0.5, 0.93)


def test_a_condition_that_is_no_comparison_shows_what_it_looked_at() -> None:
    shown = only("accuracy > champion.accuracy or loss < 0.1")
    assert (shown.left, shown.right, shown.note) == (
        None,
        None,
        "accuracy = 0.93, champion.accuracy = 0.92, loss = 0.2",
    )


# The first model


def test_without_a_champion_its_conditions_hold_and_say_so() -> None:
    assert only("accuracy >= champion.accuracy - 0.005", None) == Condition(
        text="accuracy >= champion.accuracy - 0.005", outcome=Outcome.OPEN, left=0.93, note="first model"
    )
    assert only("champion.accuracy + 1 < accuracy", None).right == 0.93
    assert only("not accuracy < champion.accuracy", None).outcome is Outcome.OPEN


def test_without_a_champion_a_missing_metric_is_still_an_error() -> None:
    assert only("recall >= champion.recall", None).outcome is Outcome.ERROR
    assert only("1 / (loss - loss) >= champion.loss", None).outcome is Outcome.ERROR


def test_a_champion_without_any_metric_is_not_no_champion() -> None:
    condition = only("accuracy > champion.accuracy", {})
    assert (condition.outcome, condition.note) == (Outcome.ERROR, "the champion has no metric 'accuracy'")


# Errors


def test_a_missing_metric_is_an_error_that_names_the_nearest() -> None:
    condition = only("acuracy > 0.9")
    assert (condition.outcome, condition.note) == (
        Outcome.ERROR,
        "there is no metric 'acuracy' (did you mean 'accuracy'?)",
    )


@pytest.mark.parametrize(
    "text",
    ["accuracy > 0 or recall > 0", "accuracy > 1 and recall > 0", "0 > accuracy > recall", "not recall > 1", "max(accuracy, recall) > 0",
     "accuracy > 0 or loss / (steps - 100) > 0", "loss > 1 and 1 / (loss - loss) > 1", "1 > accuracy > 2 > 1 / (loss - loss)"],
)  # fmt: skip
def test_what_could_stop_early_hides_no_error(text: str) -> None:
    assert only(text).outcome is Outcome.ERROR


def test_every_missing_metric_is_named() -> None:
    note = only("recall > champion.recall").note
    assert note is not None
    assert "no metric 'recall'" in note
    assert "the champion has no metric 'recall'" in note


@pytest.mark.parametrize("value", [math.nan, None, True, "0.9", [1], 10**400])
def test_what_is_no_number_is_an_error_not_a_pass(value: float) -> None:
    for text in ("x > 0", "x < 0", "x != 0", "not x > 0"):
        assert judge([text], {"x": value}, None).outcome is Outcome.ERROR
        assert judge([text.replace("x", "champion.x")], {}, {"x": value}).outcome is Outcome.ERROR


def test_a_loss_that_went_to_infinity_is_held_back() -> None:
    assert judge(["loss < 1"], {"loss": math.inf}, None).outcome is Outcome.HELD
    assert judge(["loss - loss < 1"], {"loss": math.inf}, None).outcome is Outcome.ERROR


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("1 / (loss - loss) > 0", "1 / 0: division by zero"),
        ("(loss - loss) ** -1 > 0", "0 ** -1: division by zero"),
        ("1e300 * 1e300 * loss > 0", "1e+300 * 1e+300: the result is too large"),
        ("steps ** 1000 > 0", "100 ** 1000: the result is too large"),
        ("(-loss) ** 0.5 > 0", "-0.2 ** 0.5: the result is not a number"),
    ],
)
def test_arithmetic_without_an_answer_is_an_error(text: str, note: str) -> None:
    condition = only(text)
    assert (condition.outcome, condition.note) == (Outcome.ERROR, note)


# What a condition may say


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        ("", 1, "the condition ends too early"),
        ("accuracy", 1, "a number stands where a comparison is expected"),
        ("accuracy >", 11, "the condition ends too early"),
        ("accuracy > 1 2", 14, "'2' is not expected here"),
        ("accuracy > 1 )", 14, "')' is not expected here"),
        ("(accuracy > 1", 1, "the parenthesis is not closed"),
        ("accuracy = 1", 10, "'=' cannot stand here"),
        ("accuracy && loss", 10, "'&' cannot stand here"),
        ("accuracy ≥ 1", 10, "'≥' cannot stand here"),
        ("accuracy > 90%", 14, "'%' cannot stand here"),
        ("accuracy > 1 and loss", 18, "a number stands where a comparison is expected"),
        ("not accuracy", 5, "a number stands where a comparison is expected"),
        ("1 + (accuracy > 1) > 1", 5, "a comparison stands where a number is expected"),
        ("-(accuracy > 1) > 1", 2, "a comparison stands where a number is expected"),
        ("(accuracy > 1) > 1", 1, "a comparison stands where a number is expected"),
        ("abs(accuracy, 1) > 1", 1, "abs takes one number"),
        ("min(accuracy) > 1", 1, "min takes two numbers or more"),
        ("max() > 1", 5, "')' is not expected here"),
        ("mean(accuracy) > 1", 1, "there is no function mean"),
        ("__import__('os') > 1", 1, "there is no function __import__"),
        ("accuracy.__class__() > 1", 1, "there is no function accuracy.__class__"),
        ("accuracy[0] > 1", 9, "'[' cannot stand here"),
        ("accuracy if loss else 1", 10, "'if' is not expected here"),
        ("top-5 > 0.9 > top5x-", 21, "the condition ends too early"),
        ("5x > 1", 1, "5x is neither a number nor a name"),
        ("`` > 1", 1, "the name is empty"),
        ("`a > 1", 1, "'`' cannot stand here"),
        ("champion > 1", 1, "champion is no metric"),
        ("`champion.` > 1", 1, "champion. is no metric"),
        ("champion.champion.x > 1", 1, "champion.champion.x is no metric"),
        ("1 < 2", 1, "the condition names no metric"),
        ("x > 1e999", 5, "1e999 is too large"),
        ("x > " + "(" * 60 + "1" + ")" * 60, 45, "the condition is nested deeper than 40"),
        ("not " * 60 + "x > 1", 161, "the condition is nested deeper than 40"),
        ("x > " + "-" * 60 + "1", 45, "the condition is nested deeper than 40"),
        ("x > " + "+".join("1" * 60), 5, "the condition is nested deeper than 40"),
        ("x > " + "2**" * 60 + "1", 125, "the condition is nested deeper than 40"),
        ("x > 1 or " * 300 + "x > 1", 1000, "the condition is longer than 1000 characters"),
    ],
)  # fmt: skip
def test_what_is_no_condition_is_refused_at_its_column(text: str, column: int, message: str) -> None:
    with pytest.raises(ConditionError) as caught:
        parse(text)
    assert (caught.value.column, caught.value.message) == (column, message)


def test_a_condition_that_cannot_be_read_is_an_error_when_judged() -> None:
    condition = only("accuracy > 90%")
    assert (condition.outcome, condition.note) == (Outcome.ERROR, "'%' cannot stand here (write 0.9 for 90 %)")


def test_many_conditions_joined_are_not_deep() -> None:
    assert only(" and ".join(["loss < 1"] * 70)).outcome is Outcome.OPEN
