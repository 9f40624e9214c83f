"""
MLflow model directories.

The scikit-learn flavour is loaded from its own file, which takes a tenth of the time and needs no MLflow; every other flavour goes through
`mlflow.pyfunc`. Inputs come from the signature.
"""

import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from msgspec import UNSET

from shipway.errors import ConfigError
from shipway.serving.kinds import estimator, onnx
from shipway.serving.model import Model, Tensor
from shipway.serving.tensors import datatype_of

COLUMNS = {
    "boolean": "BOOL",
    "integer": "INT32",
    "long": "INT64",
    "float": "FP32",
    "double": "FP64",
    "string": "BYTES",
}


def load(path: Path) -> Model:
    document = _read(path / "MLmodel")
    flavors = document.get("flavors", {})
    code = flavors.get("python_function", {}).get("code")
    if code:
        sys.path.insert(0, str(path / code))
    signature = document.get("signature") or {}
    inputs = _tensors(signature.get("inputs"), "input")
    if "sklearn" in flavors:
        return estimator.load(path / flavors["sklearn"]["pickled_model"], _for_estimator(inputs))
    if "onnx" in flavors:
        return onnx.load(path / flavors["onnx"]["data"])
    if not inputs:
        raise ConfigError(
            [f"{path.name}/MLmodel has no signature"], hint="log the model with an input_example or a signature"
        )
    try:
        from shipway.serving.kinds import pyfunc

        return pyfunc.load(path, inputs, _tensors(signature.get("outputs"), "output"))
    except ImportError as error:
        flavor = ", ".join(flavors)
        raise ConfigError(
            [f"{path.name}: {error}"], hint=f"flavour {flavor} needs mlflow and the model's own libraries"
        ) from error


def _read(file: Path) -> dict[str, Any]:
    try:
        yaml = import_module("yaml")
    except ImportError as error:
        raise ConfigError([f"{file}: PyYAML is not installed"], hint="add pyyaml to the environment") from error
    document = yaml.safe_load(file.read_text())
    if not isinstance(document, dict) or not isinstance(document.get("flavors"), dict):
        raise ConfigError([f"{file} lists no flavors"])
    return document


def _tensors(text: str | None, default: str) -> tuple[Tensor, ...]:
    """A schema of the signature, which MLflow keeps as JSON: tensors, or the columns of a data frame."""
    specs: Sequence[Mapping[str, Any]] = msgspec.json.decode(text) if text else ()
    return tuple(_tensor(spec, f"{default}-{index}") for index, spec in enumerate(specs))


def _tensor(spec: Mapping[str, Any], default: str) -> Tensor:
    name = spec.get("name") or default
    if spec["type"] == "tensor":
        inner = spec["tensor-spec"]
        dtype = np.dtype(inner["dtype"])
        return Tensor(name=name, datatype=datatype_of(dtype), shape=tuple(inner["shape"]))
    if spec["type"] not in COLUMNS:
        raise ConfigError(
            [f"signature: column {name!r} of type {spec['type']} cannot be served"], hint=f"one of {', '.join(COLUMNS)}"
        )
    return Tensor(name=name, datatype=COLUMNS[spec["type"]], shape=(-1,))


def _for_estimator(inputs: Sequence[Tensor]) -> tuple[Tensor, ...] | None:
    """
    Numeric columns are one matrix with named columns, and whole numbers are read as floats, as an estimator computes in them.

    That leaves a frame only for those that mix in texts.
    """
    if not inputs or any(tensor.datatype in ("BYTES", "BOOL") for tensor in inputs):
        return tuple(inputs) or None
    datatype = "FP32" if all(tensor.datatype == "FP32" for tensor in inputs) else "FP64"
    first = inputs[0]
    if len(first.shape) > 1:
        return (Tensor(name=first.name, datatype=datatype, shape=first.shape),) if len(inputs) == 1 else tuple(inputs)
    names = [tensor.name for tensor in inputs]
    unnamed = names == [f"input-{index}" for index in range(len(names))]
    return (
        Tensor(
            name="input-0",
            datatype=datatype,
            shape=(-1, len(names)),
            parameters=UNSET if unnamed else {"columns": names},
        ),
    )
