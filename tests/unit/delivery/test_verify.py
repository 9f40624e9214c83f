"""Verification compares what an endpoint answers with what the model said offline."""

import json
import math
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shipway.delivery.calls import Caller
from shipway.delivery.samples import Batch, Protocol, Samples, read_samples
from shipway.delivery.verify import compare, verify
from shipway.errors import UnavailableError, VerificationError
from shipway.testing.endpoint_conformance import MODEL, serve, stand_in_release
from shipway.testing.fake_endpoint import FakeEndpoint, FakePlace


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """A model that answers with the sum of an instance, plus one."""
    place = FakePlace()
    yield serve(FakeEndpoint("here", place), stand_in_release(tmp_path / "bundle", "v1", {"add": 1}))
    place.close()


def v1(instances: list[Any], predictions: list[Any]) -> Samples:
    return read_samples(json.dumps({"instances": instances, "predictions": predictions}).encode(), "samples.json")


def differences(expected: Any, got: Any, tolerance: float = 1e-6) -> list[str]:
    batch = Batch(body={}, expected=[expected], first=0)
    return [str(found) for found in compare(Protocol.V1, batch, {"predictions": [got]}, tolerance)]


def test_an_endpoint_that_agrees_passes_and_tells_who_answered(url: str) -> None:
    rows = [[float(number), 1.0] for number in range(150)]
    assert verify(url, MODEL, v1(rows, [sum(row) + 1 for row in rows]), 1e-6) == "v1"


def test_v2_samples_go_through_the_v2_protocol(url: str) -> None:
    content = {
        "inputs": [{"name": "x", "shape": [2, 2], "datatype": "FP64", "data": [1, 2, 3, 4]}],
        "outputs": [{"name": "y", "shape": [2], "datatype": "FP64", "data": [4.0, 8.0]}],
    }
    verify(url, MODEL, read_samples(json.dumps(content).encode(), "samples.json"), 1e-6)
    content["outputs"][0]["data"] = [4.0, 9.0]
    with pytest.raises(VerificationError, match=r"row 1 y: expected 9\.0, got 8\.0"):
        verify(url, MODEL, read_samples(json.dumps(content).encode(), "samples.json"), 1e-6)


def test_the_error_counts_the_rows_and_shows_the_first_few(url: str) -> None:
    rows = [[float(number), 0.0] for number in range(100)]
    wrong = [number + (1.0 if number < 92 else 2.0) for number in range(100)]
    with pytest.raises(VerificationError) as caught:
        verify(url, MODEL, v1(rows, wrong), 1e-6)
    lines = str(caught.value).splitlines()
    assert lines[0] == f"{MODEL}: 8 of 100 predictions differ from those made offline"
    assert lines[1] == "  row 92: expected 94.0, got 93.0"
    assert lines[-1] == "  and 3 more"


def test_samples_that_the_model_refuses_fail_with_its_words(url: str) -> None:
    with pytest.raises(VerificationError, match="cannot read the request"):
        verify(url, MODEL, v1([["a", "b"]], [1.0]), 1e-6)


def test_a_model_by_another_name_fails(url: str) -> None:
    with pytest.raises(VerificationError, match="404"):
        verify(url, "other", v1([[1.0, 2.0]], [4.0]), 1e-6)


def test_an_endpoint_that_does_not_answer_is_no_difference() -> None:
    with pytest.raises(UnavailableError):
        verify("http://127.0.0.1:1", MODEL, v1([[1.0, 2.0]], [4.0]), 1e-6)


@pytest.mark.parametrize(
    ("expected", "got"),
    [
        ("cat", "cat"),
        (3, 3),
        (True, True),
        (0.5, 0.5 + 9e-7),
        (1e6, 1e6 + 0.9),
        (3.0, 3),
        (3, 3.0),
        (math.nan, math.nan),
        (math.nan, None),
        (math.inf, math.inf),
        ([0.1, [0.2]], [0.1, [0.2]]),
        ({"label": "a", "p": 0.5}, {"p": 0.5, "label": "a"}),
    ],
)
def test_the_same(expected: Any, got: Any) -> None:
    assert differences(expected, got) == []


@pytest.mark.parametrize(
    ("expected", "got", "said"),
    [
        ("cat", "dog", "row 0: expected cat, got dog"),
        (3, 4, "row 0: expected 3, got 4"),
        ("3", 3, "row 0: expected 3, got 3"),
        (True, 1, "row 0: expected True, got 1"),
        (1.0, True, "row 0: expected 1.0, got True"),
        (0.5, 0.5 + 2e-6, "row 0: expected 0.5, got 0.500002"),
        (1e6, 1e6 + 1.5, "row 0: expected 1000000.0, got 1000001.5"),
        (math.nan, 1.0, "row 0: expected nan, got 1.0"),
        (1.0, None, "row 0: expected 1.0, got None"),
        (math.inf, -math.inf, "row 0: expected inf, got -inf"),
        (math.inf, 1.0, "row 0: expected inf, got 1.0"),
        ([0.1, 0.2], [0.1, 0.3], "row 0[1]: expected 0.2, got 0.3"),
        ([0.1, 0.2], [0.1], "row 0: expected [0.1, 0.2], got [0.1]"),
        ({"a": 1}, {"b": 1}, "row 0: expected {'a': 1}, got {'b': 1}"),
    ],
)
def test_not_the_same(expected: Any, got: Any, said: str) -> None:
    assert differences(expected, got) == [said]


def test_whole_numbers_have_no_tolerance() -> None:
    assert differences(3, 4, tolerance=10.0) != []
    assert differences(3.0, 4, tolerance=10.0) == []


@pytest.mark.parametrize("answer", [None, [], {}, {"predictions": 1}, {"predictions": []}, {"predictions": [1, 2]}])
def test_an_answer_with_the_wrong_number_of_predictions_differs(answer: Any) -> None:
    assert len(compare(Protocol.V1, Batch(body={}, expected=[1], first=0), answer, 1e-6)) == 1


@pytest.mark.parametrize(
    ("outputs", "said"),
    [
        (None, "row 0: expected outputs, got None"),
        ([], "row 0: expected output y, got outputs "),
        ([{"name": "y", "shape": [1, 2], "data": [1, 2]}], "row 0 y: expected shape [2, 1], got shape [1, 2]"),
        ([{"name": "y", "shape": [2, 1], "data": [1]}], "row 0 y: expected 2 values, got 1 values"),
        ([{"name": "y", "shape": [2, 1], "data": [1, 3]}], "row 1 y: expected 2, got 3"),
    ],
)
def test_tensors_differ_in_name_shape_count_and_value(outputs: Any, said: str) -> None:
    batch = Batch(body={}, expected=[{"name": "y", "shape": [2, 1], "data": [[1], [2]]}], first=0)
    assert [str(found) for found in compare(Protocol.V2, batch, {"outputs": outputs}, 1e-6)] == [said]


def test_a_connection_that_the_server_closed_meanwhile_is_opened_anew() -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve_two_connections() -> None:
            for _ in range(2):
                connection, _ = listener.accept()
                with connection:
                    connection.recv(65536)
                    connection.sendall(answer)

        thread = threading.Thread(target=serve_two_connections)
        thread.start()
        with Caller(f"http://127.0.0.1:{listener.getsockname()[1]}") as caller:
            assert [caller.get("/").body, caller.get("/").body] == [{}, {}]
        thread.join()
