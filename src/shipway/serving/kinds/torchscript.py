"""
TorchScript files, by torch on the CPU.

A TorchScript file doesn't say the shapes it takes. `<file>.json` beside it may: {"inputs": [{"name", "datatype", "shape"}], "outputs": […]};
without it the model takes one FP32 matrix "input-0" and gives one, "output-0".
"""

from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import Any

import msgspec

from shipway.errors import ConfigError
from shipway.serving.model import Tensor
from shipway.serving.tensors import Array


class Signature(msgspec.Struct, frozen=True, kw_only=True):
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


class TorchScript:
    platform = "pytorch_torchscript"

    def __init__(self, module: Any, torch: Any, signature: Signature) -> None:
        self._module = module
        self._torch = torch
        self.inputs = signature.inputs
        self.outputs = signature.outputs
        self.batchable = all(tensor.shape[:1] == (-1,) for tensor in (*self.inputs, *self.outputs))

    def predict(self, inputs: Mapping[str, Array], wanted: Set[str]) -> Mapping[str, Array]:
        with self._torch.inference_mode():
            result = self._module(*(self._torch.from_numpy(inputs[tensor.name]) for tensor in self.inputs))
        if isinstance(result, dict):
            return {name: value.numpy() for name, value in result.items()}
        values: Sequence[Any] = result if isinstance(result, tuple | list) else (result,)
        return {tensor.name: value.numpy() for tensor, value in zip(self.outputs, values, strict=True)}


def load(path: Path) -> TorchScript:
    try:
        import torch
    except ImportError as error:
        raise ConfigError([f"{path.name}: torch is not installed"], hint="add torch to the environment") from error
    import os

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    return TorchScript(torch.jit.load(path, map_location="cpu").eval(), torch, _signature(path))


def _signature(path: Path) -> Signature:
    described = path.with_name(path.name + ".json")
    if not described.exists():
        any_shape = Tensor(name="input-0", datatype="FP32", shape=(-1, -1))
        return Signature(inputs=(any_shape,), outputs=(Tensor(name="output-0", datatype="FP32", shape=(-1, -1)),))
    try:
        return msgspec.json.decode(described.read_bytes(), type=Signature)
    except msgspec.DecodeError as error:
        raise ConfigError([f"{described.name}: {error}"]) from error
