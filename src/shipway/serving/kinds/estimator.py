"""
scikit-learn estimators, pipelines and whatever else has their `predict`.

Rule: a label is what `predict` says. It is read off the probabilities only where the estimator's own code does the same.
"""

import warnings
from collections.abc import Mapping, Sequence, Set
from importlib import import_module
from pathlib import Path
from typing import Any, cast

import numpy as np
from msgspec import UNSET

from shipway.errors import ConfigError
from shipway.serving.faults import InvalidInputError
from shipway.serving.model import Tensor
from shipway.serving.tensors import Array, datatype_of, dtype_of

ARGMAX = frozenset({"RandomForestClassifier", "ExtraTreesClassifier", "CalibratedClassifierCV"})
"""Their `predict` is `classes_.take(argmax(predict_proba(X), axis=1))`, word for word."""

NEAR_TIE = 1e-9
"""
Logistic regression compares scores, whose order the probabilities keep except where rounding makes two of them equal; a row whose
two best are this close is asked again.
"""


class Estimator:
    """`inputs` None: one matrix, as wide as the estimator says. Otherwise the columns of a data frame, one tensor each."""

    platform = "sklearn"
    batchable = True

    def __init__(self, estimator: Any, inputs: Sequence[Tensor] | None = None) -> None:
        # An estimator that was fitted on a frame and does without one gets plain rows, whose order the metadata tells.
        warnings.filterwarnings("ignore", message="X does not have valid feature names")
        if not callable(getattr(estimator, "predict", None)):
            raise ConfigError(
                [f"a {type(estimator).__name__} has no predict method"], hint="save a fitted estimator or pipeline"
            )
        self._estimator = estimator
        self._columns = inputs is not None and (len(inputs) > 1 or not _is_matrix(inputs[0]))
        self._frame = self._columns or (_names(estimator) is not None and _last(estimator) is not estimator)
        self.inputs = tuple(inputs) if inputs is not None else (_matrix(estimator),)
        self._classes = _classes(estimator)
        self._odds = self._classes is not None and _has_probabilities(estimator)
        self.outputs = self._describe_outputs()
        self._shortcut = type(_last(estimator)).__name__ if self._odds and _is_sklearn(_last(estimator)) else ""

    def predict(self, inputs: Mapping[str, Array], wanted: Set[str]) -> Mapping[str, Array]:
        rows = self._rows(inputs)
        try:
            with np.errstate(all="ignore"):  # what a caller's extreme values do is no news for the log
                return self._answer(rows, wanted)
        except ValueError as error:
            # sklearn's own input check, as told by its words: NaN or too large for the type it computes in, wrong width
            if str(error).startswith(("Input ", "X has ", "Found array ", "Negative values in data")):
                raise InvalidInputError(str(error).splitlines()[0]) from error
            raise

    def _answer(self, rows: Any, wanted: Set[str]) -> dict[str, Array]:
        if self._classes is None:
            values = np.asarray(self._estimator.predict(rows))
            return {
                "output": values if values.dtype.kind in "OSU" else values.astype(dtype_of(self.outputs[0].datatype))
            }
        if "probability" not in wanted:
            return {"label": np.asarray(self._estimator.predict(rows))}
        odds = np.asarray(self._estimator.predict_proba(rows))
        return {"probability": odds, "label": self._labels(rows, odds)} if "label" in wanted else {"probability": odds}

    def _labels(self, rows: Any, odds: Array) -> Array:
        assert self._classes is not None
        if self._shortcut in ARGMAX:
            return cast(Array, self._classes.take(odds.argmax(axis=1)))
        if self._shortcut == "LogisticRegression":
            best = np.partition(odds, -2, axis=1)
            if (best[:, -1] - best[:, -2] > NEAR_TIE).all():
                return cast(Array, self._classes.take(odds.argmax(axis=1)))
        return np.asarray(self._estimator.predict(rows))

    def _rows(self, inputs: Mapping[str, Array]) -> Any:
        if not self._frame:
            return inputs[self.inputs[0].name]
        pandas = import_module("pandas")
        if self._columns:
            return pandas.DataFrame({tensor.name: inputs[tensor.name].reshape(-1) for tensor in self.inputs})
        return pandas.DataFrame(inputs[self.inputs[0].name], columns=_names(self._estimator))

    def _describe_outputs(self) -> tuple[Tensor, ...]:
        if self._classes is None:
            return (_output(self._estimator),)
        label = Tensor(name="label", datatype=datatype_of(self._classes.dtype), shape=(-1,))
        if not self._odds:
            return (label,)
        names: list[Any] = self._classes.tolist()
        shape = (-1, len(names))
        return label, Tensor(name="probability", datatype="FP64", shape=shape, parameters={"classes": names})


def load(path: Path, inputs: Sequence[Tensor] | None = None) -> Estimator:
    """Load a joblib, pickle, cloudpickle or skops file. A pickle runs code: only load what a gate let in."""
    if path.suffix == ".skops":
        return Estimator(_load_skops(path), inputs)
    try:
        import joblib
    except ImportError:
        import pickle

        with path.open("rb") as file:
            return Estimator(pickle.load(file), inputs)
    return Estimator(joblib.load(path), inputs)


def _load_skops(path: Path) -> Any:
    try:
        skops = import_module("skops.io")
    except ImportError as error:
        raise ConfigError([f"{path.name}: skops is not installed"], hint="add skops to the environment") from error
    return skops.load(path, trusted=skops.get_untrusted_types(file=path))


def _is_matrix(tensor: Tensor) -> bool:
    return len(tensor.shape) > 1


def _is_sklearn(estimator: Any) -> bool:
    return type(estimator).__module__.startswith("sklearn.")


def _last(estimator: Any) -> Any:
    return estimator.steps[-1][1] if type(estimator).__name__ == "Pipeline" and _is_sklearn(estimator) else estimator


def _names(estimator: Any) -> list[str] | None:
    names = getattr(estimator, "feature_names_in_", None)
    return None if names is None else [str(name) for name in names]


def _matrix(estimator: Any) -> Tensor:
    width = getattr(estimator, "n_features_in_", -1)
    names = _names(estimator)
    return Tensor(
        name="input-0", datatype="FP64", shape=(-1, width), parameters=UNSET if names is None else {"columns": names}
    )


def _classes(estimator: Any) -> Array | None:
    classes = getattr(estimator, "classes_", None)
    # a list holds the classes of several outputs at once; those go out as plain values
    return classes if isinstance(classes, np.ndarray) and classes.ndim == 1 else None


def _has_probabilities(estimator: Any) -> bool:
    return callable(getattr(estimator, "predict_proba", None))


def _output(estimator: Any) -> Tensor:
    count = getattr(estimator, "n_outputs_", 1)
    # clusterers have labels_, outlier detectors offset_; their answers are whole numbers
    whole = hasattr(_last(estimator), "labels_") or hasattr(_last(estimator), "offset_")
    return Tensor(name="output", datatype="INT64" if whole else "FP64", shape=(-1,) if count == 1 else (-1, count))
