"""Each kind of model file is found out by its name, and answers as its own library does."""

import importlib.util
import json
import pickle
import warnings
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import KMeans
from sklearn.ensemble import ExtraTreesClassifier, IsolationForest, RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from shipway.errors import ConfigError
from shipway.serving.faults import InvalidInputError
from shipway.serving.kinds.estimator import Estimator
from shipway.serving.loading import load

RANDOM = np.random.default_rng(1)
ROWS = RANDOM.normal(size=(80, 4)) + np.repeat(np.arange(4), 20)[:, None]
LABELS = np.repeat(np.array(["a", "b", "c", "d"]), 20)
ALL = frozenset(["label", "probability"])


def ask(model: Any, rows: Any = ROWS, wanted: Any = ALL) -> dict[str, Any]:
    return dict(model.predict({model.inputs[0].name: rows}, wanted))


@pytest.mark.parametrize(
    "estimator",
    [
        LogisticRegression(),
        make_pipeline(StandardScaler(), LogisticRegression()),
        RandomForestClassifier(5, random_state=0),
        ExtraTreesClassifier(5, random_state=0),
        CalibratedClassifierCV(GaussianNB()),
        DecisionTreeClassifier(),
        KNeighborsClassifier(4),
        GaussianNB(),
        MLPClassifier((4,), max_iter=20),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
@pytest.mark.parametrize("labels", [LABELS, (LABELS == "a").astype(int)], ids=["four", "two"])
def test_labels_are_what_predict_says(estimator: Any, labels: np.ndarray) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        estimator.fit(ROWS, labels)
    model = Estimator(estimator)
    grid = np.concatenate([ROWS, np.zeros((3, 4)), RANDOM.uniform(-2, 5, size=(300, 4))])
    answer = ask(model, grid)
    assert answer["label"].tolist() == estimator.predict(grid).tolist()
    np.testing.assert_array_equal(answer["probability"], estimator.predict_proba(grid))
    assert [tensor.name for tensor in model.outputs] == ["label", "probability"]
    assert model.outputs[1].parameters == {"classes": estimator.classes_.tolist()}


def test_a_tie_between_probabilities_is_settled_as_predict_settles_it() -> None:
    """The score is a hair above 0, so predict says 1, while both probabilities round to the same number."""
    estimator = LogisticRegression().fit([[0.0], [1.0]], [0, 1])
    estimator.coef_, estimator.intercept_ = np.array([[1.0]]), np.array([0.0])
    rows = np.array([[1e-18], [-1e-18], [0.0], [3.0]])
    odds = estimator.predict_proba(rows)
    assert (odds[0, 0], odds.argmax(axis=1)[0]) == (0.5, 0)
    assert ask(Estimator(estimator), rows)["label"].tolist() == estimator.predict(rows).tolist() == [1, 0, 0, 1]


def test_a_subclass_with_a_predict_of_its_own_is_asked() -> None:
    class Contrary(LogisticRegression):
        def predict(self, rows: Any) -> Any:
            return np.full(len(rows), "c")

    assert set(ask(Estimator(Contrary().fit(ROWS, LABELS)))["label"]) == {"c"}


def test_a_classifier_without_probabilities_gives_labels() -> None:
    estimator = SVC().fit(ROWS, LABELS)
    model = Estimator(estimator)
    assert [tensor.name for tensor in model.outputs] == ["label"]
    assert ask(model, wanted={"label"})["label"].tolist() == estimator.predict(ROWS).tolist()


@pytest.mark.parametrize(
    ("estimator", "targets", "datatype", "shape"),
    [
        (LinearRegression(), ROWS[:, 0], "FP64", (-1,)),
        (LinearRegression(), ROWS[:, :2], "FP64", (-1,)),
        (KMeans(2, n_init=1), None, "INT64", (-1,)),
        (IsolationForest(n_estimators=5), None, "INT64", (-1,)),
    ],
    ids=["one target", "two targets", "clusters", "outliers"],
)
def test_other_estimators_give_one_output(estimator: Any, targets: Any, datatype: str, shape: tuple[int, ...]) -> None:
    estimator.fit(ROWS, targets)
    model = Estimator(estimator)
    assert [(tensor.name, tensor.datatype) for tensor in model.outputs] == [("output", datatype)]
    np.testing.assert_array_equal(ask(model, wanted={"output"})["output"], estimator.predict(ROWS))


def test_values_that_scikit_learn_refuses_are_the_callers_fault() -> None:
    model = Estimator(RandomForestClassifier(2).fit(ROWS, LABELS))
    with pytest.raises(InvalidInputError, match="too large"):
        ask(model, np.full((1, 4), 1e300))


@pytest.mark.parametrize("form", ["model.joblib", "model.pkl", "inside/model.joblib"])
def test_joblib_and_pickle_files_are_loaded_alone_or_inside_a_directory(tmp_path: Path, form: str) -> None:
    path = tmp_path / form
    path.parent.mkdir(exist_ok=True)
    estimator = LogisticRegression().fit(ROWS, LABELS)
    if path.suffix == ".pkl":
        path.write_bytes(pickle.dumps(estimator))
    else:
        joblib.dump(estimator, path)
    model = load(path.parent if "/" in form else path)
    assert model.inputs[0].shape == (-1, 4)
    assert ask(model)["label"].tolist() == estimator.predict(ROWS).tolist()


@pytest.mark.parametrize("files", [[], ["notes.txt"], ["a.joblib", "b.onnx"]])
def test_a_directory_without_exactly_one_model_is_refused(tmp_path: Path, files: list[str]) -> None:
    for name in files:
        (tmp_path / name).touch()
    with pytest.raises(ConfigError, match=r"holds (no model|2 models)"):
        load(tmp_path)


def test_a_pickle_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.pkl").write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(ConfigError, match="a dict has no predict method"):
        load(tmp_path / "model.pkl")


def mlflow_directory(path: Path, signature: dict[str, Any] | None) -> LogisticRegression:
    """As MLflow writes it, but for what we don't read."""
    path.mkdir()
    estimator = LogisticRegression().fit(ROWS, LABELS)
    (path / "model.pkl").write_bytes(pickle.dumps(estimator))
    flavors = {"sklearn": {"pickled_model": "model.pkl", "serialization_format": "cloudpickle", "code": None}}
    document: dict[str, Any] = {"flavors": {**flavors, "python_function": {"loader_module": "mlflow.sklearn"}}}
    if signature:
        document["signature"] = {key: json.dumps(value) for key, value in signature.items()}
    (path / "MLmodel").write_text(json.dumps(document))  # JSON is YAML
    return estimator


def test_an_mlflow_directory_is_loaded_without_mlflow(tmp_path: Path) -> None:
    tensor = {"type": "tensor", "tensor-spec": {"dtype": "float64", "shape": [-1, 4]}}
    estimator = mlflow_directory(tmp_path / "model", {"inputs": [tensor]})
    model = load(tmp_path / "model")
    assert [(tensor.name, tensor.datatype, tensor.shape) for tensor in model.inputs] == [("input-0", "FP64", (-1, 4))]
    assert ask(model)["label"].tolist() == estimator.predict(ROWS).tolist()


def test_numeric_columns_of_a_signature_are_one_matrix_with_names(tmp_path: Path) -> None:
    columns = [
        {"type": kind, "name": name, "required": True}
        for name, kind in zip("wxyz", ["double", "long", "float", "double"], strict=True)
    ]
    mlflow_directory(tmp_path / "model", {"inputs": columns})
    (tensor,) = load(tmp_path / "model").inputs
    assert (tensor.shape, tensor.datatype, tensor.parameters) == ((-1, 4), "FP64", {"columns": list("wxyz")})


@pytest.fixture
def mlflow() -> Any:
    """Whole MLflow; the skinny one can't save models without pandas."""
    pytest.importorskip("pandas")
    return pytest.importorskip("mlflow")


def save(flavor: Any, *args: Any, **settings: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        flavor.save_model(*args, pip_requirements=[], **settings)


def test_what_mlflow_itself_saves_is_loaded(tmp_path: Path, mlflow: Any) -> None:
    import mlflow.sklearn
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    estimator = LogisticRegression().fit(ROWS, LABELS)
    signature = ModelSignature(Schema([TensorSpec(np.dtype("float64"), (-1, 4))]))
    for form in ("pickle", "cloudpickle", *(["skops"] if importlib.util.find_spec("skops") else [])):
        save(mlflow.sklearn, estimator, tmp_path / form, signature=signature, serialization_format=form)
        assert ask(load(tmp_path / form))["label"].tolist() == estimator.predict(ROWS).tolist()


def test_columns_of_texts_and_numbers_reach_a_pipeline_as_a_frame(tmp_path: Path, mlflow: Any) -> None:
    import mlflow.sklearn
    import pandas
    from sklearn.compose import ColumnTransformer
    from sklearn.preprocessing import OneHotEncoder

    frame = pandas.DataFrame({"size": [1.0, 2.0, 3.0, 4.0], "colour": ["red", "blue", "red", "blue"]})
    parts = [("colour", OneHotEncoder(), ["colour"]), ("size", "passthrough", ["size"])]
    estimator = make_pipeline(ColumnTransformer(parts), LogisticRegression()).fit(frame, ["a", "b", "a", "b"])
    save(
        mlflow.sklearn,
        estimator,
        tmp_path / "model",
        signature=mlflow.models.infer_signature(frame),
        serialization_format="cloudpickle",
    )
    model = load(tmp_path / "model")
    assert [(tensor.name, tensor.datatype) for tensor in model.inputs] == [("size", "FP64"), ("colour", "BYTES")]
    inputs = {"size": np.array([1.0, 2.0]), "colour": np.array(["blue", "red"], dtype=object)}
    assert model.predict(inputs, {"label"})["label"].tolist() == estimator.predict(pandas.DataFrame(inputs)).tolist()


def test_an_estimator_fitted_on_a_frame_is_given_one_where_it_needs_it() -> None:
    pandas = pytest.importorskip("pandas")
    from sklearn.compose import ColumnTransformer

    frame = pandas.DataFrame(ROWS, columns=list("wxyz"))
    pipeline = make_pipeline(ColumnTransformer([("some", "passthrough", ["y", "w"])]), LogisticRegression()).fit(
        frame, LABELS
    )
    plain = LogisticRegression().fit(frame, LABELS)
    for estimator in (pipeline, plain):
        model = Estimator(estimator)
        assert model.inputs[0].parameters == {"columns": list("wxyz")}
        assert ask(model)["label"].tolist() == estimator.predict(frame).tolist()


@pytest.mark.filterwarnings("ignore:.*type hint:UserWarning")
def test_a_flavour_of_its_own_goes_through_mlflow(tmp_path: Path, mlflow: Any) -> None:
    import mlflow.pyfunc
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    class Twice(mlflow.pyfunc.PythonModel):
        def predict(self, context, model_input, params=None):  # noqa: ANN001, ANN202 - MLflow takes type hints for a schema
            return model_input * 2

    spec = Schema([TensorSpec(np.dtype("float64"), (-1, 4))])
    save(mlflow.pyfunc, path=str(tmp_path / "model"), python_model=Twice(), signature=ModelSignature(spec, spec))
    model = load(tmp_path / "model")
    assert not model.batchable
    np.testing.assert_array_equal(ask(model, wanted={"output-0"})["output-0"], ROWS * 2)


def test_a_flavour_without_a_signature_is_refused_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "MLmodel").write_text("flavors: {keras: {}, python_function: {}}")
    with pytest.raises(ConfigError, match="no signature"):
        load(tmp_path)


SCRIPT = """
import numpy as np
from neighbour import FACTOR
class Model:
    inputs = [{"name": "a", "datatype": "FP32", "shape": [-1]}, {"name": "b", "datatype": "BYTES", "shape": [-1]}]
    outputs = [{"name": "c", "datatype": "FP32", "shape": [-1]}, {"name": "d", "datatype": "BYTES", "shape": [-1]}]
    batchable = True
    def __init__(self, directory):
        self.word = (directory / "word.txt").read_text()
    def predict(self, inputs):
        return {"c": inputs["a"] * FACTOR, "d": [text + self.word for text in inputs["b"]]}
"""


def test_a_script_brings_its_files_and_modules(tmp_path: Path) -> None:
    (tmp_path / "predict.py").write_text(SCRIPT)
    (tmp_path / "neighbour.py").write_text("FACTOR = 3")
    (tmp_path / "word.txt").write_text("!")
    model = load(tmp_path)
    assert model.batchable
    answer = model.predict(
        {"a": np.array([1, 2], dtype=np.float32), "b": np.array(["x", "y"], dtype=object)}, {"c", "d"}
    )
    assert (answer["c"].tolist(), answer["d"].tolist()) == ([3, 6], ["x!", "y!"])


@pytest.mark.parametrize(
    ("attribute", "words"),
    [("inputs = [1]", "Expected `object`"), ("inputs = []", "is empty"), ("outputs = 5", "outputs")],
)
def test_a_script_whose_metadata_is_wrong_is_refused(tmp_path: Path, attribute: str, words: str) -> None:
    (tmp_path / "predict.py").write_text(f"class Model:\n    {attribute}\n    def __init__(self, directory): ...")
    with pytest.raises(ConfigError, match=words):
        load(tmp_path)


def test_an_onnx_file_answers_as_the_estimator_that_it_came_from(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    skl2onnx = pytest.importorskip("skl2onnx")
    estimator = LogisticRegression().fit(ROWS, LABELS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exported = skl2onnx.to_onnx(estimator, ROWS[:1].astype(np.float32), options={"zipmap": False})
    (tmp_path / "model.onnx").write_bytes(exported.SerializeToString())
    model = load(tmp_path)
    assert model.batchable
    assert (model.inputs[0].datatype, model.inputs[0].shape) == ("FP32", (-1, 4))
    names = frozenset(tensor.name for tensor in model.outputs)
    answer = ask(model, ROWS.astype(np.float32), names)
    assert answer["label"].tolist() == estimator.predict(ROWS).tolist()
    np.testing.assert_allclose(answer["probabilities"], estimator.predict_proba(ROWS), atol=1e-5)


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_a_torchscript_file_answers_as_the_module_that_it_came_from(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    module = torch.nn.Linear(4, 2)
    torch.jit.script(module).save(tmp_path / "model.pt")
    signature = {
        key: [{"name": name, "datatype": "FP32", "shape": [-1, size]}]
        for key, name, size in (("inputs", "x", 4), ("outputs", "y", 2))
    }
    (tmp_path / "model.pt.json").write_text(json.dumps(signature))
    rows = ROWS.astype(np.float32)
    answer = ask(load(tmp_path), rows, {"y"})["y"]
    np.testing.assert_allclose(answer, module(torch.from_numpy(rows)).detach().numpy(), rtol=1e-6)


def test_a_missing_library_is_named() -> None:
    if importlib.util.find_spec("torch"):
        pytest.skip("torch is installed")
    with pytest.raises(ConfigError, match="torch is not installed"):
        load(Path("model.pt"))
