"""Every V2 datatype goes through JSON and back unchanged, or is refused with its place."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from shipway.serving.faults import InvalidInputError
from shipway.serving.tensors import DTYPES, cast, datatype_of, from_json, reshape, to_list

NUMERIC = sorted(name for name in DTYPES if name != "BYTES")


@st.composite
def tensors(draw: st.DrawFn) -> tuple[str, np.ndarray[Any, Any]]:
    datatype = draw(st.sampled_from(sorted(DTYPES)))
    shape = draw(hnp.array_shapes(min_dims=1, max_dims=4, max_side=4))
    if datatype == "BYTES":
        texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
        return datatype, draw(hnp.arrays(object, shape, elements=texts))
    elements = {"allow_nan": False, "allow_infinity": False} if datatype.startswith("FP") else None
    return datatype, draw(hnp.arrays(DTYPES[datatype], shape, elements=elements))


@given(tensors(), st.booleans())
def test_values_of_every_datatype_survive_the_way_through_json(
    tensor: tuple[str, np.ndarray[Any, Any]], flat: bool
) -> None:
    datatype, array = tensor
    raw = json.dumps(to_list(array, flat=flat)).encode()
    back = reshape(from_json(raw, datatype, "x"), array.shape, "x")
    assert back.dtype == array.dtype
    assert datatype_of(back.dtype) == datatype
    np.testing.assert_array_equal(back, array)


@pytest.mark.parametrize("datatype", [name for name in NUMERIC if "INT" in name])
def test_whole_numbers_are_taken_up_to_their_limits_and_refused_beyond(datatype: str) -> None:
    limits = np.iinfo(DTYPES[datatype])
    edges = [limits.min, limits.max]
    assert from_json(json.dumps(edges).encode(), datatype, "x").tolist() == edges
    for value in (limits.min - 1, limits.max + 1, 10**30):
        with pytest.raises(InvalidInputError, match=r"x"):
            from_json(json.dumps([0, value]).encode(), datatype, "x")


def test_a_number_out_of_range_is_named_with_the_range() -> None:
    with pytest.raises(InvalidInputError, match=r"x: 300 does not fit INT8 \(-128 to 127\)"):
        from_json(b"[1, 300]", "INT8", "x")


@pytest.mark.parametrize(
    ("datatype", "value"), [("FP16", "70000"), ("FP32", "1e39"), ("FP32", "-1e39"), ("FP64", "1e999")]
)
def test_a_float_that_would_become_infinite_is_refused(datatype: str, value: str) -> None:
    with pytest.raises(InvalidInputError):
        from_json(f"[0.5, {value}]".encode(), datatype, "x")


@pytest.mark.parametrize(
    ("datatype", "raw"),
    [
        ("FP64", "[true]"),
        ("FP64", '["1"]'),
        ("FP64", "[null]"),
        ("FP64", "[NaN]"),
        ("FP64", "[Infinity]"),
        ("INT32", "[1.5]"),
        ("INT32", "[true]"),
        ("BOOL", "[1]"),
        ("BYTES", "[1]"),
        ("BYTES", '["\\ud800"]'),
        ("UINT8", "[-1]"),
        ("FP64", "[[1], [2, 3]]"),
        ("FP64", "[[1], 2]"),
        ("FP64", "[1, [2]]"),
        ("FP64", "[[[1]], [[1], [2]]]"),
        ("BYTES", '[["a"], ["b", "c"]]'),
        ("FP64", "1"),
        ("FP64", "{}"),
        ("FP64", "[1"),
        ("FP64", "[" * 30 + "]" * 30),
        ("FP64", "[" * 50_000),
        ("BF16", "[1]"),
        ("FP8", "[1]"),
    ],
)
def test_what_is_not_of_the_datatype_is_refused(datatype: str, raw: str) -> None:
    with pytest.raises(InvalidInputError):
        from_json(raw.encode(), datatype, "x")


def test_a_wrong_value_is_named_with_its_place() -> None:
    with pytest.raises(InvalidInputError, match=r"input 'a'.data\[1\]\[0\]"):
        from_json(b'[[1], ["b"]]', "FP64", "input 'a'.data")


@pytest.mark.parametrize(
    ("raw", "shape"),
    [
        (b"[1, 2, 3]", [2, 2]),
        (b"[1, 2]", [-1, 2]),
        (b"[1, 2]", [2**40, 2**40]),
        (b"[[1, 2], [3, 4]]", [4]),
        (b"[1]", [1] * 99),
    ],
)
def test_data_that_does_not_have_its_shape_is_refused(raw: bytes, shape: list[int]) -> None:
    with pytest.raises(InvalidInputError):
        reshape(from_json(raw, "FP64", "x"), shape, "x")


def test_nothing_finite_in_json_stands_for_nan_and_infinity() -> None:
    assert to_list(np.array([1.5, np.nan, np.inf, -np.inf])) == [1.5, None, None, None]


def test_bytes_that_are_no_text_are_shown_with_replacement_characters() -> None:
    assert to_list(np.array([b"ab", b"\xff"], dtype=object)) == ["ab", "�"]


@given(tensors(), st.sampled_from(sorted(DTYPES)))
def test_a_cast_keeps_every_value_or_is_refused(tensor: tuple[str, np.ndarray[Any, Any]], datatype: str) -> None:
    _, array = tensor
    try:
        result = cast(array, datatype, "x")
    except InvalidInputError:
        return
    assert result.dtype == DTYPES[datatype]
    if result.dtype.kind in "iu":
        assert result.tolist() == array.tolist()
    elif result.dtype.kind == "f":
        assert np.isfinite(result).all()
        np.testing.assert_allclose(result.astype(float), array.astype(float), rtol=1e-3, atol=1e-7)
