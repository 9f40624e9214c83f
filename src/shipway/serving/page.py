"""The page at `/`, where a person tries the model: one file, nothing fetched from elsewhere."""

from pathlib import Path
from typing import Any

import msgspec

from shipway.serving.dataplane import Call
from shipway.serving.model import Model, Tensor
from shipway.serving.settings import Settings
from shipway.serving.tensors import to_list

HEADERS = (
    b"content-security-policy: default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:; "
    b"connect-src 'self'; base-uri 'none'; form-action 'none'\r\n"
)


def page(model: Model, settings: Settings, example: Call | None) -> bytes:
    """`example` is a call that the model is known to answer; None: zeros of the right shape."""
    data = {
        "name": settings.name,
        "version": settings.version,
        "platform": model.platform,
        "inputs": model.inputs,
        "outputs": model.outputs,
        "example": request(model, example),
        "known": example is not None,
    }
    # "<" would let a name close the script element that holds the data
    text = msgspec.json.encode(data).replace(b"<", b"\\u003c")
    return Path(__file__).with_name("page.html").read_bytes().replace(b"__MODEL__", text)


def request(model: Model, example: Call | None) -> dict[str, Any]:
    """A V2 request body for the model."""
    if example is None:
        return {"inputs": [_zeros(tensor) for tensor in model.inputs]}
    described = {tensor.name: tensor.datatype for tensor in model.inputs}
    return {
        "inputs": [
            {"name": name, "shape": array.shape, "datatype": described[name], "data": to_list(array)}
            for name, array in example.inputs.items()
        ]
    }


def _zeros(tensor: Tensor) -> dict[str, Any]:
    shape = [1 if size < 0 else size for size in tensor.shape]
    count = 1
    for size in shape:
        count *= size
    value: Any = {"BYTES": "text", "BOOL": False}.get(tensor.datatype, 0)
    return {"name": tensor.name, "shape": shape, "datatype": tensor.datatype, "data": [value] * count}
