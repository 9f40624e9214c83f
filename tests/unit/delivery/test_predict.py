"""A file of any of the known kinds becomes the request that its content means."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shipway.delivery.pictures import layout_for, read_picture
from shipway.delivery.predict import instances, predict
from shipway.delivery.tables import read_table
from shipway.errors import NotFoundError, UnavailableError, UsageError
from shipway.testing.endpoint_conformance import MODEL, serve, stand_in_release
from shipway.testing.fake_endpoint import FakeEndpoint, FakePlace

MATRIX = [{"name": "x", "datatype": "FP64", "shape": [-1, 2]}]
NAMED = [{"name": "x", "datatype": "FP64", "shape": [-1, 2], "parameters": {"columns": ["a", "b"]}}]
TEXTS = [{"name": "words", "datatype": "BYTES", "shape": [-1]}]
VALUES = [{"name": "x", "datatype": "FP64", "shape": [-1]}]
COLUMNS = [{"name": "a", "datatype": "FP64", "shape": [-1]}, {"name": "b", "datatype": "BYTES", "shape": [-1]}]


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """A model that answers with the sum of two numbers."""
    place = FakePlace()
    yield serve(FakeEndpoint("here", place), stand_in_release(tmp_path / "bundle", "v1", {"add": 0}))
    place.close()


def write(tmp_path: Path, name: str, content: Any) -> Path:
    path = tmp_path / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


@pytest.mark.parametrize(
    ("content", "predictions"),
    [
        ({"instances": [[1, 2], [3, 4]]}, [3, 7]),
        ([[1, 2], [3, 4]], [3, 7]),
        ([1, 2], [3]),
    ],
)
def test_json_is_a_whole_request_a_list_of_instances_or_one(
    url: str, tmp_path: Path, content: Any, predictions: list[float]
) -> None:
    answer = predict(url, MODEL, write(tmp_path, "in.json", content))
    assert (answer.predictions, answer.revision) == (predictions, "v1")


def test_a_v2_request_is_answered_in_v2(url: str, tmp_path: Path) -> None:
    body = {"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP64", "data": [1, 2]}]}
    answer = predict(url, MODEL, write(tmp_path, "in.json", body))
    assert answer.predictions == [{"name": "y", "datatype": "FP64", "shape": [1], "data": [3.0]}]


def test_rows_of_csv_are_instances(url: str, tmp_path: Path) -> None:
    assert predict(url, MODEL, write(tmp_path, "in.csv", "width,height\n1,2\n3,4.5\n")).predictions == [3, 7.5]


@pytest.mark.parametrize(
    ("content", "inputs", "expected"),
    [
        ([1, 2], MATRIX, [[1, 2]]),
        ([[1, 2]], MATRIX, [[1, 2]]),
        ({"a": 1}, COLUMNS, [{"a": 1}]),
        ([{"a": 1}], COLUMNS, [{"a": 1}]),
        (["one", "two"], [{"name": "text", "datatype": "BYTES", "shape": [-1]}], ["one", "two"]),
        ([[0, 1], [2, 3]], [{"name": "picture", "datatype": "FP32", "shape": [-1, 2, 2]}], [[[0, 1], [2, 3]]]),
        (5, [{"name": "x", "datatype": "FP64", "shape": [-1]}], [5]),
    ],
)
def test_one_instance_is_told_from_several_by_the_model_s_input(content: Any, inputs: Any, expected: Any) -> None:
    assert instances(content, inputs) == expected


@pytest.mark.parametrize(
    ("text", "inputs", "expected"),
    [
        ("1,2\n3,4\n", MATRIX, [[1, 2], [3, 4]]),
        ("a,b\n1,2.5\n", MATRIX, [[1, 2.5]]),
        ("a,b\n1,\n", MATRIX, [[1, None]]),
        ("b,a,target\n1,2,9\n", NAMED, [{"b": 1, "a": 2}]),
        ("a,b\n1,red\n", COLUMNS, [{"a": 1, "b": "red"}]),
        ("1,red\n", COLUMNS, [{"a": 1, "b": "red"}]),
        ('\ufeffa,b\n1,"x, y"\n\n', COLUMNS, [{"a": 1, "b": "x, y"}]),
        ("1,2\nnan,1_0\n", MATRIX, [[1, 2], [None, "1_0"]]),
        ("words\ngood\n5\n", TEXTS, ["good", "5"]),
        ('review\n"fine, really"\nno good\n', TEXTS, ["fine, really", "no good"]),
        ("id,words\n7,red\n8,blue\n", TEXTS, ["red", "blue"]),
        ("red\nblue\n", TEXTS, ["red", "blue"]),
        ("really good\nno good\n", TEXTS, ["really good", "no good"]),
        ("words\n", [{"name": "x", "datatype": "BYTES", "shape": [-1]}], ["words"]),
        ("x\n1\n2.5\n", VALUES, [1, 2.5]),
        ("size\n1\n", VALUES, [1]),
        ("1\n2\n", VALUES, [1, 2]),
    ],
)
def test_csv(text: str, inputs: Any, expected: Any, tmp_path: Path) -> None:
    assert read_table(write(tmp_path, "in.csv", text), inputs) == expected


@pytest.mark.parametrize(
    ("text", "inputs", "fault"),
    [
        ("", MATRIX, "no rows"),
        ("a,b\n", NAMED, "no rows"),
        ("1,2\n3\n", MATRIX, "row 2 has 1 cells, the first has 2"),
        ("words\n", TEXTS, "no rows"),
        ("words\nfine, really\n", TEXTS, "row 2 has 2 cells, but the model takes one value a row"),
        ("1,2,3\n", COLUMNS, "3 cells in a row, but the model has 2 inputs: a, b"),
    ],
)
def test_csv_that_makes_no_request_is_an_error(text: str, inputs: Any, fault: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=fault):
        read_table(write(tmp_path, "in.csv", text), inputs)


def grey(tmp_path: Path, size: tuple[int, int]) -> Path:
    from PIL import Image

    picture = Image.new("L", size)
    picture.putdata(list(range(size[0] * size[1])))
    picture.save(tmp_path / "in.png")
    return tmp_path / "in.png"


def test_a_picture_is_sent_as_the_input_is_shaped(tmp_path: Path) -> None:
    path = grey(tmp_path, (2, 3))
    assert read_picture(path, [{"shape": [-1, -1, -1]}]) == ([[0, 1], [2, 3], [4, 5]], ())
    assert read_picture(path, [{"shape": [-1, 1, 3, 2]}]) == ([[[0, 1], [2, 3], [4, 5]]], ())
    assert read_picture(path, [{"shape": [-1, 3, 2, 1]}]) == ([[[0], [1]], [[2], [3]], [[4], [5]]], ())
    assert read_picture(grey(tmp_path, (2, 2)), [{"shape": [-1, 4]}]) == ([0, 1, 2, 3], ())


def test_colours_go_last_or_first_as_the_input_says(tmp_path: Path) -> None:
    from PIL import Image

    Image.new("RGB", (2, 1), (10, 20, 30)).save(tmp_path / "in.png")
    assert read_picture(tmp_path / "in.png", [{"shape": [-1, 1, 2, 3]}])[0] == [[[10, 20, 30], [10, 20, 30]]]
    assert read_picture(tmp_path / "in.png", [{"shape": [-1, 3, 1, 2]}])[0] == [[[10, 10]], [[20, 20]], [[30, 30]]]


def test_a_picture_of_another_size_is_resized_and_that_is_said(tmp_path: Path) -> None:
    values, notes = read_picture(grey(tmp_path, (16, 16)), [{"shape": [-1, 64]}])
    assert len(values) == 64
    assert notes == ("resized from 16x16 to 8x8, which is what the model takes",)


@pytest.mark.parametrize("shape", [[-1], [-1, 5], [-1, 2, 2, 2], [-1, -1]])
def test_an_input_that_is_no_picture_is_an_error(shape: list[int]) -> None:
    with pytest.raises(UsageError, match="is no picture"):
        layout_for(shape, (8, 8))


def test_a_file_that_is_no_picture_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not a picture"):
        read_picture(write(tmp_path, "in.png", "hello"), [{"shape": [-1, 64]}])


def test_what_the_server_refuses_is_told_in_its_words(url: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="400: cannot read the request"):
        predict(url, MODEL, write(tmp_path, "in.json", {"instances": "x"}))
    with pytest.raises(NotFoundError, match="404: there is no /v1/models/other:predict"):
        predict(url, "other", write(tmp_path, "in.json", {"instances": [[1, 2]]}))


def test_what_cannot_be_sent_is_an_error(url: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"do not know how to send \.txt"):
        predict(url, MODEL, write(tmp_path, "in.txt", "hello"))
    with pytest.raises(UsageError, match="not JSON"):
        predict(url, MODEL, write(tmp_path, "in.json", "{"))
    with pytest.raises(UsageError, match="empty list"):
        predict(url, MODEL, write(tmp_path, "in.json", []))
    with pytest.raises(NotFoundError, match="there is no file"):
        predict(url, MODEL, tmp_path / "gone.csv")
    with pytest.raises(UnavailableError):
        predict("http://127.0.0.1:1", MODEL, write(tmp_path, "in.json", [[1, 2]]))
    with pytest.raises(UsageError, match="is not the URL of an endpoint"):
        predict("staging", MODEL, write(tmp_path, "in.json", [[1, 2]]))
