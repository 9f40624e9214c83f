"""ONNX files, by onnxruntime on the CPU."""

from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import Any

import numpy as np

from shipway.errors import ConfigError
from shipway.serving.faults import InvalidInputError
from shipway.serving.model import Tensor
from shipway.serving.tensors import Array

DATATYPES = {
    "tensor(bool)": "BOOL",
    "tensor(uint8)": "UINT8",
    "tensor(uint16)": "UINT16",
    "tensor(uint32)": "UINT32",
    "tensor(uint64)": "UINT64",
    "tensor(int8)": "INT8",
    "tensor(int16)": "INT16",
    "tensor(int32)": "INT32",
    "tensor(int64)": "INT64",
    "tensor(float16)": "FP16",
    "tensor(float)": "FP32",
    "tensor(double)": "FP64",
    "tensor(string)": "BYTES",
}


class Onnx:
    platform = "onnxruntime_onnx"

    def __init__(self, session: Any, invalid: type[Exception]) -> None:
        self._session = session
        self._invalid = invalid
        self.inputs = tuple(_tensor(node) for node in session.get_inputs())
        self.outputs = tuple(_tensor(node) for node in session.get_outputs())
        self.batchable = all(tensor.shape[:1] == (-1,) for tensor in (*self.inputs, *self.outputs))

    def predict(self, inputs: Mapping[str, Array], wanted: Set[str]) -> Mapping[str, Array]:
        names = [tensor.name for tensor in self.outputs if tensor.name in wanted]
        try:
            values = self._session.run(names, dict(inputs))
        except self._invalid as error:
            raise InvalidInputError(str(error).splitlines()[0]) from error
        return {name: np.asarray(value) for name, value in zip(names, values, strict=True)}


def load(path: Path) -> Onnx:
    """Uses as many threads as the numerics libraries may (OMP_NUM_THREADS, which the server sets)."""
    try:
        import onnxruntime
        from onnxruntime.capi.onnxruntime_pybind11_state import InvalidArgument
    except ImportError as error:
        raise ConfigError(
            [f"{path.name}: onnxruntime is not installed"], hint="add onnxruntime to the environment"
        ) from error
    return Onnx(
        onnxruntime.InferenceSession(path, _options(onnxruntime), providers=["CPUExecutionProvider"]), InvalidArgument
    )


def _options(onnxruntime: Any) -> Any:
    import os

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(os.environ.get("OMP_NUM_THREADS", "1"))
    options.inter_op_num_threads = 1
    return options


def _tensor(node: Any) -> Tensor:
    datatype = DATATYPES.get(node.type)
    if datatype is None:
        hint = "export it with plain tensors (skl2onnx: options={'zipmap': False})"
        raise ConfigError([f"{node.name}: {node.type} cannot be served"], hint=hint)
    return Tensor(name=node.name, datatype=datatype, shape=_shape(node.shape))


def _shape(shape: Sequence[Any]) -> tuple[int, ...]:
    """Sizes that have a name instead of a number may vary."""
    return tuple(size if isinstance(size, int) else -1 for size in shape)
