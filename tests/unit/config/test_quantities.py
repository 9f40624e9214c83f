"""Sizes and durations."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipway.config.quantities import duration, memory_mib


@pytest.mark.parametrize(
    ("text", "mib"),
    [("1MiB", 1), ("32GiB", 32768), ("1.5 GiB", 1536), ("1KiB", 1), ("64GB", 61036), ("512MB", 489), ("2TiB", 2097152)],
)
def test_sizes_are_rounded_up_to_whole_mebibytes(text: str, mib: int) -> None:
    assert memory_mib(text) == mib


@pytest.mark.parametrize(
    "text", ["", "GiB", "-1GiB", "0GiB", "1e3GiB", "32", "32gib", "32 G", "9" * 30 + "TiB", "1.GiB", "٣GiB"]
)
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        memory_mib(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("30m", 1800), ("4h", 14400), ("1d12h", 129600), ("1.5h", 5400), ("500ms", 0.5), ("0s", 0)],
)
def test_durations_add_up(text: str, seconds: float) -> None:
    assert duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "text", ["", "s", "-1s", "1", "1.5", "1 s", "1hour", "1h 30m", "04:00:00", "1-00:00:00", "9" * 39 + "d", "99999d"]
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        duration(text)


@given(st.text(alphabet="0123456789.smhdKMGTiB :-", max_size=50))
def test_any_text_is_a_quantity_or_refused_in_words(text: str) -> None:
    for read in (memory_mib, duration):
        try:
            words = "is " if read(text) is not None else ""
        except ValueError as error:
            words = str(error)
        assert words.startswith(("is ", "has "))
