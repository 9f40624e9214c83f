"""KServe's V1 protocol, as a client sees it."""

from typing import Any

import joblib
import numpy as np
import pytest

PREDICT = "/v1/models/m:predict"


def test_predictions_are_the_classifiers_labels(classifier: Any, classifier_bundle: Any, rows: np.ndarray) -> None:
    model = joblib.load(classifier_bundle / "model.joblib")
    answer = classifier.ask("POST", PREDICT, {"instances": rows.tolist()})
    assert (answer.status, answer.json) == (200, {"predictions": model.predict(rows).tolist()})


def test_an_instance_may_name_its_input(classifier: Any, rows: np.ndarray) -> None:
    plain = classifier.ask("POST", PREDICT, {"instances": rows[:4].tolist()})
    named = classifier.ask("POST", PREDICT, {"instances": [{"input-0": row.tolist()} for row in rows[:4]]})
    assert (named.status, named.json) == (200, plain.json)


def test_the_model_is_listed_and_ready(classifier: Any) -> None:
    assert classifier.ask("GET", "/v1/models").json == {"models": ["m"]}
    assert classifier.ask("GET", "/v1/models/m").json == {"name": "m", "ready": True}
    assert classifier.ask("GET", "/v1/models/n").status == 404


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"instances": []}, "instances: the array is empty"),
        ({"instances": 3}, "expected an array, got 3"),
        ({"instances": {}}, "Expected `array`, got `object`"),
        ({"instances": [1, 2, 3, 4]}, "got shape [4], the model takes [-1, 4]"),
        ({"instances": [[1, 2, 3]]}, "got shape [1, 3], the model takes [-1, 4]"),
        ({"instances": [[1, 2, 3, 4], [1]]}, "rows have different lengths"),
        ({"instances": [[1, 2, 3, None]]}, "Expected `float`, got `null` - at `instances[0][3]`"),
        ({"instances": [{"x": [1, 2, 3, 4]}]}, "instances[0]: 'input-0' is missing"),
        ({"instances": [{"input-0": [1, 2, 3, 4], "x": 1}]}, "there is no input 'x'"),
        ({"instances": [{"input-0": [1, 2, 3, 4]}, 5]}, "Expected `object`, got `int`"),
        ({"inputs": []}, "missing required field `instances`"),
    ],
)
def test_wrong_instances_are_refused_with_what_is_wrong(classifier: Any, body: Any, words: str) -> None:
    answer = classifier.ask("POST", PREDICT, body)
    assert answer.status == 400
    assert words in answer.json["error"]
