"""
A model as a `predict.py` with a class `Model`:

    class Model:
        def __init__(self, directory: Path) -> None: ...
        def predict(self, inputs: dict[str, ndarray]) -> dict[str, ndarray] | ndarray: ...

Optional attributes: `inputs` and `outputs`, each a list of {"name", "datatype", "shape"[, "parameters"]} (left out: one FP64 matrix "input-0",
"output-0"), and `batchable = True` where the rows of several requests may be stacked. BYTES come and go as object arrays of `str`.
"""

import importlib.util
import sys
from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from shipway.errors import ConfigError
from shipway.serving.model import Tensor
from shipway.serving.tensors import DTYPES, Array


class Script:
    platform = "python"

    def __init__(self, model: Any) -> None:
        self._model = model
        self.inputs = _tensors(model, "inputs")
        self.outputs = _tensors(model, "outputs")
        self.batchable = bool(getattr(model, "batchable", False))

    def predict(self, inputs: Mapping[str, Array], wanted: Set[str]) -> Mapping[str, Array]:
        outputs = self._model.predict(dict(inputs))
        if not isinstance(outputs, Mapping):
            outputs = {self.outputs[0].name: outputs}
        return {name: np.asarray(values) for name, values in outputs.items()}


def load(path: Path) -> Script:
    """The file's directory comes first on the import path, so that it can bring modules of its own."""
    sys.path.insert(0, str(path.parent))
    spec = importlib.util.spec_from_file_location("predict", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["predict"] = module
    spec.loader.exec_module(module)
    found = getattr(module, "Model", None)
    if found is None:
        raise ConfigError(
            ["predict.py has no class Model"], hint="it needs __init__(self, directory) and predict(self, inputs)"
        )
    return Script(found(path.parent))


def _tensors(model: Any, attribute: str) -> tuple[Tensor, ...]:
    default: Sequence[Any] = [{"name": attribute[:-1] + "-0", "datatype": "FP64", "shape": [-1, -1]}]
    try:
        tensors = msgspec.convert(list(getattr(model, attribute, default)), tuple[Tensor, ...])
    except (TypeError, msgspec.ValidationError) as error:
        raise ConfigError(
            [f"predict.py: Model.{attribute}: {error}"], hint='a list of {"name", "datatype", "shape"}'
        ) from error
    if not tensors:
        raise ConfigError([f"predict.py: Model.{attribute} is empty"])
    for tensor in tensors:
        if tensor.datatype not in DTYPES:
            raise ConfigError(
                [f"predict.py: Model.{attribute}: unknown datatype {tensor.datatype!r}"],
                hint=f"one of {', '.join(DTYPES)}",
            )
    return tensors
