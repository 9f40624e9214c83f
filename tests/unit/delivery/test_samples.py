"""Samples files are read strictly, and cut into requests."""

import json
from typing import Any

import pytest

from shipway.delivery.samples import Protocol, read_samples
from shipway.errors import ConfigError


def read(content: Any) -> Any:
    return read_samples(json.dumps(content).encode(), "samples.json")


def tensor(name: str, shape: list[int], data: list[Any]) -> dict[str, Any]:
    return {"name": name, "shape": shape, "datatype": "FP64", "data": data}


def test_v1_samples_are_cut_into_requests_of_so_many_rows() -> None:
    samples = read({"instances": [[1], [2], [3]], "predictions": ["a", "b", "c"]})
    assert (samples.protocol, samples.rows) == (Protocol.V1, 3)
    batches = list(samples.batches(2))
    assert [batch.body for batch in batches] == [{"instances": [[1], [2]]}, {"instances": [[3]]}]
    assert [(batch.expected, batch.first) for batch in batches] == [(["a", "b"], 0), (["c"], 2)]


def test_v2_samples_are_cut_along_their_first_axis_flat_or_nested() -> None:
    samples = read(
        {"inputs": [tensor("x", [3, 2], [[1, 2], [3, 4], [5, 6]])], "outputs": [tensor("y", [3], [7, 8, 9])]}
    )
    first, second = samples.batches(2)
    assert first.body["inputs"] == [tensor("x", [2, 2], [1, 2, 3, 4])]
    assert first.expected == [tensor("y", [2], [7, 8])]
    assert second.body["inputs"] == [tensor("x", [1, 2], [5, 6])]
    assert (second.expected, second.first) == ([tensor("y", [1], [9])], 2)


def test_v2_tensors_without_a_common_first_axis_go_in_one_request() -> None:
    content = {"inputs": [tensor("x", [4], [1, 2, 3, 4])], "outputs": [tensor("y", [1], [10])]}
    (only,) = read(content).batches(1)
    assert only.body == {"inputs": content["inputs"]}


def test_nan_is_read() -> None:
    samples = read_samples(b'{"instances": [[1]], "predictions": [NaN]}', "samples.json")
    assert samples.outputs[0] != samples.outputs[0]


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ([1], "samples need two keys and no other, found list"),
        ({}, "found none"),
        ({"instances": [[1]]}, "found instances"),
        ({"instances": [[1]], "predictions": [1], "extra": 1}, "found extra, instances, predictions"),
        ({"instances": 1, "predictions": [1]}, "instances is not a list"),
        ({"instances": [[1]], "predictions": [1, 2]}, "1 instances but 2 predictions"),
        ({"instances": [], "predictions": []}, "there are no samples in it"),
        ({"inputs": [], "outputs": [tensor("y", [1], [1])]}, "inputs is empty"),
        ({"inputs": [tensor("x", [2], [1])], "outputs": [tensor("y", [1], [1])]}, r"inputs\[0\]: 1 values do not fill"),
        (
            {"inputs": [{"name": "x"}], "outputs": [tensor("y", [1], [1])]},
            r"inputs\[0\]: shape, datatype, data missing",
        ),
        ({"inputs": [tensor("x", [0], [])], "outputs": [tensor("y", [0], [])]}, "there are no samples in it"),
        ({"inputs": [tensor("x", ["a"], [1])], "outputs": [tensor("y", [1], [1])]}, "is not a list of sizes"),  # type: ignore[list-item]
    ],
)
def test_a_file_that_says_nothing_usable_is_an_error_that_names_it(content: Any, fault: str) -> None:
    with pytest.raises(ConfigError, match=fault) as caught:
        read(content)
    assert str(caught.value).startswith("samples.json: ")


def test_what_is_not_json_is_an_error() -> None:
    with pytest.raises(ConfigError, match="not JSON"):
        read_samples(b"instances,predictions", "samples.csv")
