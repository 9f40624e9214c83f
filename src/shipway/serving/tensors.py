"""
Tensors of the Open Inference Protocol between JSON and numpy.

Rule: a value is taken as the datatype says or refused with its place; nothing wraps, overflows or is guessed.
BYTES elements are `str` in object arrays. NaN and infinities have no form in JSON: refused on the way in, null on the way out.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from math import prod
from typing import Annotated, Any

import msgspec
import numpy as np
import numpy.typing as npt

from shipway.serving.faults import InvalidInputError

Array = npt.NDArray[Any]

DTYPES: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype(np.bool_),
    "UINT8": np.dtype(np.uint8),
    "UINT16": np.dtype(np.uint16),
    "UINT32": np.dtype(np.uint32),
    "UINT64": np.dtype(np.uint64),
    "INT8": np.dtype(np.int8),
    "INT16": np.dtype(np.int16),
    "INT32": np.dtype(np.int32),
    "INT64": np.dtype(np.int64),
    "FP16": np.dtype(np.float16),
    "FP32": np.dtype(np.float32),
    "FP64": np.dtype(np.float64),
    "BYTES": np.dtype(object),
}
NAMES = {dtype: name for name, dtype in DTYPES.items()}

_WIDE = {dtype: np.dtype(np.int64) for dtype in DTYPES.values() if dtype.kind in "ui" and dtype != np.uint64} | {
    dtype: np.dtype(np.float64) for dtype in DTYPES.values() if dtype.kind == "f"
}
"""In what a datatype's values are read before they are checked against its range."""

MOST_DIMENSIONS = 16
"""numpy stops at 32 or 64, and nobody's tensor comes near."""


def dtype_of(datatype: str) -> np.dtype[Any]:
    """Raises InvalidInputError."""
    try:
        return DTYPES[datatype]
    except KeyError:
        if datatype == "BF16":
            raise InvalidInputError("datatype BF16 has no form in JSON", hint="send FP32") from None
        raise InvalidInputError(f"unknown datatype {datatype!r}", hint=f"one of {', '.join(DTYPES)}") from None


def datatype_of(dtype: np.dtype[Any]) -> str:
    """The protocol's name for what a model takes or gives; strings of any width are BYTES."""
    if dtype.kind in "OSU":
        return "BYTES"
    return NAMES[dtype.newbyteorder("=")]


def from_json(raw: bytes | memoryview, datatype: str, place: str) -> Array:
    """
    Decode nested or flat JSON `data` into an array of the shape that its brackets say.

    `place` is what error messages call it. Raises InvalidInputError.
    """
    dtype = dtype_of(datatype)
    depth = _depth(raw)
    if depth == 0:
        raise InvalidInputError(f"{place}: expected an array, got {_shorten(raw)}")
    if depth > MOST_DIMENSIONS:
        raise InvalidInputError(f"{place}: nested more than {MOST_DIMENSIONS} deep")
    try:
        values = _decoder(dtype.kind, depth)(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInputError(f"{place}: {in_words(error, place)}") from error
    return _array(values, dtype, depth, place)


def reshape(array: Array, shape: Sequence[int], place: str) -> Array:
    """Give flat data its declared shape; nested data must have it already. Raises InvalidInputError."""
    if len(shape) > MOST_DIMENSIONS:
        raise InvalidInputError(f"{place}: shape has more than {MOST_DIMENSIONS} dimensions")
    if any(size < 0 for size in shape):
        raise InvalidInputError(f"{place}: shape {list(shape)} has a negative size")
    if array.shape == tuple(shape):
        return array
    if array.ndim != 1:
        raise InvalidInputError(f"{place}: data has shape {list(array.shape)}, but shape says {list(shape)}")
    if prod(shape) != array.size:
        raise InvalidInputError(f"{place}: data has {array.size} elements, but shape {list(shape)} needs {prod(shape)}")
    return array.reshape(tuple(shape))


def cast(array: Array, datatype: str, place: str) -> Array:
    """Turn an array into the datatype that the model wants where every value survives. Raises InvalidInputError."""
    dtype = dtype_of(datatype)
    if array.dtype == dtype:
        return array
    if dtype.kind not in "fiu" or array.dtype.kind not in "fiu" or (array.dtype.kind == "f" and dtype.kind != "f"):
        raise InvalidInputError(f"{place}: the model takes {datatype}, got {datatype_of(array.dtype)}")
    if dtype.kind == "f":
        return _finite(array, dtype, place)
    return _within(array, dtype, place)


def to_list(array: Array, *, flat: bool = True) -> list[Any]:
    """The values as JSON has them: flat in row-major order, or nested as the shape."""
    if array.dtype.kind in "OSU":
        array = _texts(array)
    elif array.dtype.kind == "f" and not np.isfinite(array).all():
        missing = ~np.isfinite(array)
        array = array.astype(object)
        array[missing] = None
    values: list[Any] = array.ravel().tolist() if flat else array.tolist()
    return values


def in_words(error: Exception, place: str = "") -> str:
    """What msgspec says, with its `$` replaced by the caller's place."""
    if isinstance(error, UnicodeDecodeError):
        return "JSON text is not valid UTF-8"
    if isinstance(error, RecursionError):
        return "JSON is nested too deep"
    return str(error).replace("`$", f"`{place}" if place else "`$")


def _depth(raw: bytes | memoryview) -> int:
    """How many arrays open before the first value; JSON whitespace in between is allowed."""
    depth = 0
    for byte in bytes(raw[:256]):
        if byte == 0x5B:
            depth += 1
        elif byte not in b" \t\r\n":
            break
    return depth


@lru_cache
def _decoder(kind: str, depth: int) -> Callable[[bytes | memoryview], Any]:
    item: Any = {"b": bool, "u": Annotated[int, msgspec.Meta(ge=0)], "i": int, "f": float, "O": str}[kind]
    for _ in range(depth):
        item = list[item]
    return msgspec.json.Decoder(item).decode


def _array(values: list[Any], dtype: np.dtype[Any], depth: int, place: str) -> Array:
    try:
        array = np.array(values, dtype=_WIDE.get(dtype, dtype))
    except OverflowError as error:
        raise InvalidInputError(f"{place}: a value does not fit {datatype_of(dtype)}") from error
    except ValueError as error:
        raise InvalidInputError(f"{place}: rows have different lengths") from error
    if array.ndim != depth:  # numpy makes ragged lists of objects into a shallower array
        raise InvalidInputError(f"{place}: rows have different lengths")
    if array.size == 0:
        return array.astype(dtype)
    if dtype.kind in "ui":
        return _within(array, dtype, place)
    return _finite(array, dtype, place) if dtype.kind == "f" and dtype.itemsize < 8 else array


def _within(array: Array, dtype: np.dtype[Any], place: str) -> Array:
    limits = np.iinfo(dtype)
    low, high = array.min(), array.max()
    if int(low) < limits.min or int(high) > limits.max:
        value = low if int(low) < limits.min else high
        raise InvalidInputError(f"{place}: {value} does not fit {datatype_of(dtype)} ({limits.min} to {limits.max})")
    return array.astype(dtype)


def _finite(array: Array, dtype: np.dtype[Any], place: str) -> Array:
    with np.errstate(over="ignore"):
        result = array.astype(dtype)
    fits = np.isfinite(result)
    if not fits.all():
        raise InvalidInputError(f"{place}: {array[~fits].flat[0]} does not fit {datatype_of(dtype)}")
    return result


def _texts(array: Array) -> Array:
    texts = [value.decode(errors="replace") if isinstance(value, bytes) else str(value) for value in array.flat]
    return np.array(texts, dtype=object).reshape(array.shape)


def _shorten(raw: bytes | memoryview) -> str:
    text = bytes(raw[:24]).decode(errors="replace").strip()
    return text + ("…" if len(raw) > 24 else "")
