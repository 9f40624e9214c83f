"""Any flavour that MLflow itself can load, by `mlflow.pyfunc`; slower to start, and never batched, since nobody knows its rows."""

from collections.abc import Mapping, Sequence, Set
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from shipway.serving.model import Tensor
from shipway.serving.tensors import Array


class PyFunc:
    platform = "mlflow"
    batchable = False

    def __init__(self, model: Any, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> None:
        self._model = model
        self.inputs = tuple(inputs)
        self.outputs = tuple(outputs) or (Tensor(name="output-0", datatype="FP64", shape=(-1,)),)
        self._columns = all(len(tensor.shape) == 1 for tensor in inputs)

    def predict(self, inputs: Mapping[str, Array], wanted: Set[str]) -> Mapping[str, Array]:
        return self._named(self._model.predict(self._given(inputs)))

    def _given(self, inputs: Mapping[str, Array]) -> Any:
        if self._columns:
            return import_module("pandas").DataFrame(dict(inputs))
        if len(self.inputs) == 1 and self.inputs[0].name == "input-0":
            return inputs["input-0"]
        return dict(inputs)

    def _named(self, result: Any) -> Mapping[str, Array]:
        if hasattr(result, "columns") and len(self.outputs) == len(result.columns):
            return {tensor.name: result.iloc[:, index].to_numpy() for index, tensor in enumerate(self.outputs)}
        if isinstance(result, Mapping):
            return {name: np.asarray(values) for name, values in result.items()}
        return {self.outputs[0].name: np.asarray(result)}


def load(path: Path, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> PyFunc:
    """Raises ImportError where mlflow or what the model needs isn't installed."""
    pyfunc = import_module("mlflow.pyfunc")
    return PyFunc(pyfunc.load_model(str(path)), inputs, outputs)
