"""Each caller gets exactly its own rows, whatever else goes through the model at the same time."""

import asyncio
import threading
from collections.abc import Mapping, Sequence, Set
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipway.serving.batching import Batcher, Job, Outputs
from shipway.serving.dataplane import Call, DataPlane
from shipway.serving.faults import InvalidInputError, ModelError
from shipway.serving.model import Tensor
from shipway.serving.settings import Batch
from shipway.serving.tensors import Array

WIDE = Tensor(name="x", datatype="FP64", shape=(-1, -1))


class Doubler:
    """Answers each row with its double and its sum; a row that holds 13 fails the whole call, and 7 is refused."""

    platform = "test"
    inputs = (WIDE,)
    outputs = (Tensor(name="double", datatype="FP64", shape=(-1, -1)), Tensor(name="sum", datatype="FP64", shape=(-1,)))

    def __init__(self, *, batchable: bool = True) -> None:
        self.batchable = batchable
        self.calls: list[int] = []

    def predict(self, inputs: Mapping[str, Array], wanted: Set[str]) -> Mapping[str, Array]:
        rows = inputs["x"]
        self.calls.append(len(rows))
        if (rows == 13).any():
            raise RuntimeError("13")
        if (rows == 7).any():
            raise InvalidInputError("7")
        made = {"double": rows * 2, "sum": rows.sum(axis=1)}
        return {name: made[name] for name in wanted}


class Summary(Doubler):
    """Says that it goes by rows, but gives one row for all of them."""

    def predict(self, inputs: Mapping[str, Array], wanted: Set[str]) -> Mapping[str, Array]:
        return {"double": inputs["x"].sum(axis=0, keepdims=True), "sum": np.array([inputs["x"].sum()])}


class Asked(msgspec.Struct):
    rows: int
    width: int
    dtype: str
    wanted: tuple[str, ...]
    poison: float | None
    later: bool


ASKED = st.builds(
    Asked,
    rows=st.integers(1, 5),
    width=st.integers(1, 3),
    dtype=st.sampled_from(["float64", "float32", "int64"]),
    wanted=st.sampled_from([("double",), ("sum",), ("sum", "double")]),
    poison=st.sampled_from([None, None, None, 13.0, 7.0]),
    later=st.booleans(),
)


async def run(model: Any, batch: Batch, asked: Sequence[Asked]) -> list[tuple[Array, Outputs | Exception]]:
    batcher = Batcher(model, batch)
    loop = asyncio.get_running_loop()
    waiting = []
    for number, one in enumerate(asked):
        rows = (np.arange(one.rows * one.width).reshape(one.rows, one.width) + 100 * (number + 1)).astype(one.dtype)
        if one.poison is not None:
            rows[-1, -1] = one.poison
        future: asyncio.Future[Outputs | Exception] = loop.create_future()
        batcher.submit(Job({"x": rows}, frozenset(one.wanted), future.set_result))
        waiting.append((rows, future))
        if one.later:
            await asyncio.sleep(0)
    return [(rows, await asyncio.wait_for(future, 10)) for rows, future in waiting]


@given(st.lists(ASKED, max_size=20), st.integers(1, 12), st.sampled_from([0.0, 0.1]), st.booleans())
def test_each_caller_gets_its_own_rows(asked: list[Asked], most: int, wait: float, batchable: bool) -> None:
    model = Doubler(batchable=batchable)
    answers = asyncio.run(run(model, Batch(max_rows=most, max_wait_ms=wait), asked))
    for one, (rows, answer) in zip(asked, answers, strict=True):
        if one.poison is not None:
            assert isinstance(answer, RuntimeError if one.poison == 13 else InvalidInputError)
            continue
        assert not isinstance(answer, Exception)
        assert set(answer) == set(one.wanted)
        expected = {"double": rows * 2, "sum": rows.sum(axis=1)}
        for name in one.wanted:
            np.testing.assert_array_equal(answer[name], expected[name])
    assert max(model.calls, default=0) <= max(most, 5)


@given(st.lists(ASKED, min_size=2, max_size=8))
def test_a_model_whose_outputs_do_not_go_by_rows_is_never_given_two_requests(asked: list[Asked]) -> None:
    for rows, answer in asyncio.run(run(Summary(), Batch(), asked)):
        assert not isinstance(answer, Exception)
        assert answer.get("sum", rows.sum()) == rows.sum()


def test_an_output_that_the_model_forgets_is_an_error_for_each() -> None:
    class Forgetful(Doubler):
        def predict(self, inputs: Mapping[str, Array], wanted: Set[str]) -> Mapping[str, Array]:
            return {"double": inputs["x"] * 2}

    one = Asked(rows=1, width=2, dtype="float64", wanted=("sum",), poison=None, later=False)
    answers = asyncio.run(run(Forgetful(), Batch(), [one, one, msgspec.structs.replace(one, wanted=("double",))]))
    assert [isinstance(answer, KeyError) for _, answer in answers] == [True, True, False]


def test_requests_of_one_turn_of_the_loop_go_through_the_model_in_one_call() -> None:
    model = Doubler()
    one = Asked(rows=2, width=3, dtype="float64", wanted=("sum",), poison=None, later=False)
    asyncio.run(run(model, Batch(), [one] * 10))
    assert model.calls == [20]


def test_what_queues_while_the_model_works_makes_the_next_batch() -> None:
    model = Doubler()
    inner, gate = model.predict, threading.Event()

    def slow(inputs: Mapping[str, Array], wanted: Set[str]) -> Mapping[str, Array]:
        gate.wait(10)
        return inner(inputs, wanted)

    model.predict = slow  # type: ignore[method-assign]  # the same model, held up

    async def scene() -> None:
        batcher = Batcher(model, Batch())
        answered: list[Any] = []

        def submit() -> None:
            batcher.submit(Job({"x": np.ones((1, 2))}, frozenset(["sum"]), answered.append))

        submit()
        await asyncio.sleep(0.02)  # it is on the worker's thread now
        for _ in range(6):
            submit()
        gate.set()
        while len(answered) < 7:
            await asyncio.sleep(0.001)

    asyncio.run(scene())
    assert model.calls == [1, 6]


def plane_answers(calls: Sequence[Call], model: Any = None) -> list[Any]:
    async def scene() -> list[Any]:
        plane = DataPlane(model or Doubler(), Batch(), lambda rows: None, lambda error: None)
        answers: list[Any] = []
        for call in calls:
            plane.infer(call, answers.append)
        while len(answers) < len(calls):
            await asyncio.sleep(0.001)
        return answers

    return asyncio.run(scene())


def test_outputs_come_in_the_order_in_which_they_were_asked_for() -> None:
    rows = np.ones((2, 2))
    asked = [Call(inputs={"x": rows}, outputs=["sum", "double"]), Call(inputs={"x": rows})]
    assert [list(answer) for answer in plane_answers(asked)] == [["sum", "double"], ["double", "sum"]]


def test_a_failure_of_the_model_is_told_without_its_words() -> None:
    (answer,) = plane_answers([Call(inputs={"x": np.full((1, 1), 13.0)})])
    assert isinstance(answer, ModelError)
    assert "RuntimeError" in answer.message


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (Call(inputs={}), "'x' is missing"),
        (Call(inputs={"y": np.ones((1, 1))}), "no input 'y'"),
        (Call(inputs={"x": np.ones(3)}), r"got shape \[3\], the model takes \[-1, -1\]"),
        (Call(inputs={"x": np.ones((0, 3))}), "holds no values"),
        (Call(inputs={"x": np.ones((1, 1))}, outputs=["z"]), "no output 'z'"),
        (Call(inputs={"x": np.ones((1, 1))}, outputs=["sum", "sum"]), "twice"),
        (Call(inputs={"x": np.array([["a"]], dtype=object)}), "takes FP64, got BYTES"),
    ],
)
def test_what_does_not_fit_the_metadata_is_refused_before_anything_runs(call: Call, words: str) -> None:
    model = Doubler()
    with pytest.raises(InvalidInputError, match=words):
        plane_answers([call], model)
    assert model.calls == []
