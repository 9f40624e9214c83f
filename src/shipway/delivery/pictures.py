"""One picture as an instance: grey or RGB, at the size and in the layout that the model's input has, with values from 0 to 255."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from shipway.errors import UsageError

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff")


class Layout(NamedTuple):
    """`channels_first`: [channels, height, width]. `shape` is that of the instance."""

    width: int
    height: int
    colour: bool
    channels_first: bool
    shape: tuple[int, ...]


def read_picture(path: Path, inputs: Sequence[Mapping[str, Any]]) -> tuple[list[Any], tuple[str, ...]]:
    """Return the instance, and notes on what was done to the picture. Raises UsageError."""
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError as error:
        raise UsageError(f"{path}: sending a picture needs Pillow", hint="pip install pillow") from error
    if len(inputs) != 1:
        raise UsageError(
            f"{path}: the model takes {len(inputs)} inputs, not one picture", hint="write the request as .json"
        )
    notes = []
    try:
        with Image.open(path) as opened:
            size = opened.size
            layout = layout_for(inputs[0]["shape"], size)
            picture = opened.convert("RGB" if layout.colour else "L")
    except (UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise UsageError(f"{path}: not a picture that Pillow can read") from error
    if picture.size != (layout.width, layout.height):
        notes.append(
            f"resized from {size[0]}x{size[1]} to {layout.width}x{layout.height}, which is what the model takes"
        )
        picture = picture.resize((layout.width, layout.height), Image.Resampling.LANCZOS)
    values = list(picture.tobytes())
    if layout.channels_first and layout.colour:
        values = [value for channel in range(3) for value in values[channel::3]]
    return _nest(values, layout.shape), tuple(notes)


def layout_for(shape: Sequence[int], size: tuple[int, int]) -> Layout:
    """From an input's shape, whose first axis counts rows; an axis that may vary (-1) takes the picture's own size."""
    width, height = size
    inner = list(shape[1:])
    match inner:
        case [n] if n > 0 and math.isqrt(n) ** 2 == n:
            side = math.isqrt(n)
            return Layout(side, side, False, False, (n,))
        case [n] if n > 0 and n % 3 == 0 and math.isqrt(n // 3) ** 2 == n // 3:
            side = math.isqrt(n // 3)
            return Layout(side, side, True, False, (n,))
        case [h, w]:
            h, w = _size(h, height), _size(w, width)
            return Layout(w, h, False, False, (h, w))
        case [h, w, (1 | 3) as channels]:
            h, w = _size(h, height), _size(w, width)
            return Layout(w, h, channels == 3, False, (h, w, channels))
        case [(1 | 3) as channels, h, w]:
            h, w = _size(h, height), _size(w, width)
            return Layout(w, h, channels == 3, True, (channels, h, w))
    raise UsageError(f"the model's input of shape {list(shape)} is no picture", hint="write the request as .json")


def _size(axis: int, own: int) -> int:
    return axis if axis > 0 else own


def _nest(values: list[int], shape: tuple[int, ...]) -> list[Any]:
    if len(shape) == 1:
        return values
    step = len(values) // shape[0]
    return [_nest(values[at : at + step], shape[1:]) for at in range(0, len(values), step)]
