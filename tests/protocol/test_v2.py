"""The Open Inference Protocol, as a client sees it."""

from typing import Any

import joblib
import numpy as np
import pytest


def tensor(rows: np.ndarray, **changes: Any) -> dict[str, Any]:
    return {"name": "input-0", "shape": list(rows.shape), "datatype": "FP64", "data": rows.ravel().tolist(), **changes}


def test_inference_gives_what_the_model_gives(classifier: Any, classifier_bundle: Any, rows: np.ndarray) -> None:
    model = joblib.load(classifier_bundle / "model.joblib")
    answer = classifier.infer({"id": "a1", "inputs": [tensor(rows)]})
    assert answer.status == 200
    body = answer.json
    assert (body["model_name"], body["model_version"], body["id"]) == ("m", "3", "a1")
    label, probability = body["outputs"]
    assert (label["name"], label["datatype"], label["shape"]) == ("label", "BYTES", [90])
    assert label["data"] == model.predict(rows).tolist()
    assert probability["shape"] == [90, 3]
    assert probability["parameters"] == {"classes": ["ant", "bee", "cat"]}
    np.testing.assert_allclose(np.reshape(probability["data"], (90, 3)), model.predict_proba(rows), rtol=1e-12)


def test_nested_data_and_the_path_with_a_version_are_the_same(classifier: Any, rows: np.ndarray) -> None:
    flat = classifier.infer({"inputs": [tensor(rows[:3])]})
    nested = classifier.ask(
        "POST", "/v2/models/m/versions/3/infer", {"inputs": [tensor(rows[:3], data=rows[:3].tolist())]}
    )
    assert flat.json == nested.json
    assert "id" not in flat.json


def test_only_the_outputs_asked_for_come_in_their_order(classifier: Any, rows: np.ndarray) -> None:
    body = {"inputs": [tensor(rows[:1])], "outputs": [{"name": "probability"}, {"name": "label"}]}
    assert [output["name"] for output in classifier.infer(body).json["outputs"]] == ["probability", "label"]
    body["outputs"] = [{"name": "probability"}]
    assert [output["name"] for output in classifier.infer(body).json["outputs"]] == ["probability"]


def test_narrower_numbers_are_taken_for_the_models_floats(classifier: Any) -> None:
    for datatype in ("FP32", "FP16", "INT8", "UINT64"):
        assert (
            classifier.infer({"inputs": [tensor(np.ones((1, 4)), datatype=datatype, data=[1, 1, 1, 1])]}).status == 200
        )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"datatype": "INT8", "data": [1, 2, 3, 300]}, "300 does not fit INT8 (-128 to 127)"),
        ({"datatype": "FP32", "data": [1, 2, 3, 1e300]}, "does not fit FP32"),
        ({"datatype": "FP12"}, "unknown datatype 'FP12'"),
        ({"datatype": "BF16"}, "BF16 has no form in JSON"),
        ({"datatype": "BYTES", "data": ["a"] * 4}, "takes FP64, got BYTES"),
        ({"datatype": "BOOL", "data": [True] * 4}, "takes FP64, got BOOL"),
        ({"name": "x"}, "there is no input 'x' (the model takes 'input-0')"),
        ({"shape": [1, 5]}, "data has 4 elements, but shape [1, 5] needs 5"),
        ({"shape": [4]}, "got shape [4], the model takes [-1, 4]"),
        ({"shape": [2, 2]}, "got shape [2, 2], the model takes [-1, 4]"),
        ({"shape": [0, 4], "data": []}, "holds no values"),
        ({"shape": [-1, 4]}, "negative size"),
        ({"shape": [1.5, 4]}, "Expected `int`, got `float` - at `$.inputs[0].shape[0]`"),
        ({"data": [1, 2, 3, "4"]}, "Expected `float`, got `str` - at `input 'input-0'.data[3]`"),
        ({"data": [[1, 2], [3]]}, "rows have different lengths"),
        ({"data": 4}, "expected an array, got 4"),
        ({"parameters": {"a": [1]}}, "$.inputs[0].parameters"),
    ],
)
def test_a_wrong_tensor_is_refused_with_what_is_wrong(classifier: Any, changes: dict[str, Any], words: str) -> None:
    answer = classifier.infer({"inputs": [tensor(np.ones((1, 4)), **changes)]})
    assert answer.status == 400
    assert words in answer.json["error"]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "truncated"),
        (b"[]", "Expected `object`, got `array`"),
        (b'{"inputs": [}', "byte 12"),
        (b"{}", "missing required field `inputs`"),
        (b'{"inputs": []}', "input 'input-0' is missing"),
        (b'{"inputs": [{"name": "input-0", "shape": [1, 4], "datatype": "FP64"}]}', "has no data"),
        (
            b'{"inputs": [{"name": "input-0", "shape": [1, 4], "datatype": "FP64", "data": [1, 2, 3, NaN]}]}',
            "malformed",
        ),
        (b'{"inputs": "\xff"}', "got `str`"),
        (b"[" * 100_000, "Expected `object`"),
        (b'{"a": ' + b"[" * 100_000, "nested too deep"),
    ],
)
def test_a_malformed_body_is_refused_with_its_place(classifier: Any, body: bytes, words: str) -> None:
    answer = classifier.ask("POST", "/v2/models/m/infer", body)
    assert answer.status == 400
    assert words in answer.json["error"]


def test_one_input_may_not_stand_twice(classifier: Any) -> None:
    answer = classifier.infer({"inputs": [tensor(np.ones((1, 4)))] * 2})
    assert (answer.status, answer.json) == (400, {"error": "input 'input-0' stands twice"})


def test_metadata_tells_what_goes_in_and_out(classifier: Any) -> None:
    metadata = classifier.ask("GET", "/v2/models/m").json
    assert metadata == classifier.ask("GET", "/v2/models/m/versions/3").json
    assert metadata["inputs"] == [{"name": "input-0", "datatype": "FP64", "shape": [-1, 4]}]
    assert [output["name"] for output in metadata["outputs"]] == ["label", "probability"]
    assert (metadata["name"], metadata["versions"], metadata["platform"]) == ("m", ["3"], "sklearn")


def test_health_and_the_server_answer(classifier: Any) -> None:
    for path in ("/v2/health/live", "/v2/health/ready", "/v2/models/m/ready", "/v2/models/m/versions/3/ready", "/v2"):
        assert classifier.ask("GET", path).status == 200


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/v2/models/other", "no model 'other'"),
        ("/v2/models/m/versions/9", "no version '9'"),
        ("/v2/models/m/nothing", "openapi.json"),
    ],
)
def test_an_unknown_model_or_version_is_not_found(classifier: Any, path: str, words: str) -> None:
    answer = classifier.ask("GET", path)
    assert answer.status == 404
    assert words in answer.json["error"]
