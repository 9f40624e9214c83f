"""Metrics files as stages write them."""

import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipway.errors import StageError
from shipway.pipeline.metrics import Metrics, load_metrics, read_metrics
from shipway.specs.trees import ROOT, Entry, Tree, digest_of
from shipway.store.directory import DirectoryStore
from shipway.tracking.base import TrackedMetric


def read(**files: str) -> Metrics:
    """`a_json="…"` is the file a.json."""
    return read_metrics(
        {name.replace("__", "/").replace("_", "."): text.encode() for name, text in files.items()}, at=7.0
    )


def series(metrics: Metrics) -> dict[str, list[tuple[int, float]]]:
    found: dict[str, list[tuple[int, float]]] = {}
    for metric in metrics.series:
        assert metric.at == 7.0
        found.setdefault(metric.name, []).append((metric.step, metric.value))
    return found


def test_json_is_flattened_with_dots_and_only_numbers_count() -> None:
    found = read(
        a_json='{"acc": 0.5, "test": {"f1": {"macro": 1}, "ok": true}, "note": "x", "none": null, "matrix": [[1, 2]], "list": [1]}'
    )
    assert found == Metrics(values={"acc": 0.5, "test.f1.macro": 1.0, "test.ok": 1.0})


def test_nan_and_infinity_are_read_as_what_they_are() -> None:
    found = read(a_json='{"a": NaN, "b": Infinity, "c": -Infinity}').values
    assert math.isnan(found["a"])
    assert (found["b"], found["c"]) == (math.inf, -math.inf)


def test_csv_gives_a_series_and_the_last_step_is_the_final_value() -> None:
    found = read(h_csv="epoch,loss,acc,phase\n1,0.9,,warm\n2,0.5,0.7,\n10,0.4,0.8,main\n")
    assert found.values == {"loss": 0.4, "acc": 0.8}
    assert series(found) == {"loss": [(1, 0.9), (2, 0.5), (10, 0.4)], "acc": [(2, 0.7), (10, 0.8)]}


def test_rows_without_a_step_are_numbered_from_zero() -> None:
    assert series(read(h_csv="loss\n3\n\n2\n")) == {"loss": [(0, 3.0), (1, 2.0)]}
    assert series(read(h_jsonl='{"loss": 3}\n\n{"loss": 2}\n')) == {"loss": [(0, 3.0), (1, 2.0)]}


def test_json_lines_are_flattened_as_json_is() -> None:
    found = read(h_jsonl='{"step": 5, "train": {"loss": 1.5}}\r\n{"step": 6, "train": {"loss": NaN}, "text": "\u2028"}')
    assert [step for step, _ in series(found)["train.loss"]] == [5, 6]
    assert math.isnan(found.values["train.loss"])


def test_a_step_that_comes_again_takes_its_last_value_and_order_is_by_step() -> None:
    """As a training does that goes on from a checkpoint: a tracker shows the highest step as the latest."""
    found = read(h_csv="Step,loss\n1,0.9\n3,0.5\n2,0.6\n3,0.4\n")
    assert series(found) == {"loss": [(1, 0.9), (2, 0.6), (3, 0.4)]}
    assert found.values == {"loss": 0.4}


def test_a_csv_cell_may_hold_commas_and_line_breaks() -> None:
    assert read(h_csv='note,loss\n"a, b\nc",1\n').values == {"loss": 1.0}


def test_a_byte_order_mark_is_no_part_of_a_name() -> None:
    assert read_metrics({"a.csv": b"\xef\xbb\xbfloss\n1\n"}, at=0.0).values == {"loss": 1.0}


def test_a_name_in_two_files_belongs_to_neither() -> None:
    found = read(metrics_json='{"acc": 1, "f1": 2}', history_csv="acc\n3\n")
    assert found.values == {"metrics.acc": 1.0, "f1": 2.0, "history.acc": 3.0}
    assert series(found) == {"history.acc": [(0, 3.0)]}


def test_files_of_one_stem_are_told_apart_by_their_whole_paths() -> None:
    found = read(a__m_json='{"acc": 1}', b__m_json='{"acc": 2}', c_json='{"acc": 3}')
    assert found.values == {"a.m.json.acc": 1.0, "b.m.json.acc": 2.0, "c.acc": 3.0}


@pytest.mark.parametrize(
    ("name", "text", "place"),
    [
        ("m.json", '{"a": 1,\n "b": }', r"m\.json: line 2, column 7"),
        ("m.json", "[1, 2]", "list"),
        ("m.json", "", "line 1, column 1"),
        ("m.json", '{"a.b": 1, "a": {"b": 2}}', "a.b is there twice"),
        ("m.json", '{"a": 1' + "0" * 400 + "}", "a is too large"),
        ("m.json", '{"a": 1' + "0" * 5000 + "}", "line 1"),
        ("m.json", '{"a":' * 100_000, "line 1"),
        ("m.jsonl", '{"a": 1}\n\n{"a": oops}', r"m\.jsonl: line 3, column 7"),
        ("m.jsonl", '{"a": 1}\n7', "line 2"),
        ("m.jsonl", '{"step": 1.5, "a": 1}', "line 1: step 1.5"),
        ("m.csv", "", "empty"),
        ("m.csv", "a,a\n1,2\n", "'a' is there twice"),
        ("m.csv", "a,b\n1,2\n1,2,3\n", "line 3 has 3 cells for 2 columns"),
        ("m.csv", "step,a\n1,0.5\n2,oops\n", "line 3, column a: 'oops'"),
        ("m.csv", "epoch,a\nnan,0.5\n", "line 2: epoch nan"),
        ("m.csv", 'a\n"1', "line 2"),
        ("m.txt", "a: 1", "its kind is not known"),
        ("m.json", "\udcff", "not UTF-8"),
    ],
)
def test_an_unreadable_file_is_named_with_the_place(name: str, text: str, place: str) -> None:
    with pytest.raises(StageError, match=place) as caught:
        read_metrics({name: text.encode("utf-8", "surrogateescape")}, at=0.0)
    assert name in caught.value.message


def test_the_tracker_is_told_series_and_final_values_once_each() -> None:
    found = read(a_json='{"acc": 0.5}', h_csv="loss\n3\n2\n")
    told = found.tracked(9.0, prefix="train.")
    assert told == [
        TrackedMetric(name="train.loss", value=3.0, at=7.0, step=0),
        TrackedMetric(name="train.loss", value=2.0, at=7.0, step=1),
        TrackedMetric(name="train.acc", value=0.5, at=9.0),
    ]


def test_metrics_are_read_from_the_store_and_a_directory_counts_with_its_metrics_files(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path / "store")
    made = tmp_path / "evaluation"
    made.mkdir()
    contents = {"history.csv": b"loss\n2\n", "metrics.json": b'{"acc": 1}', "plot.png": b"\xff"}
    for name, data in contents.items():
        (made / name).write_bytes(data)
    listing = Tree(tuple(Entry(name, digest_of(data), len(data)) for name, data in sorted(contents.items())))
    (tmp_path / "single").write_bytes(b'{"f1": 3}')
    single = Tree((Entry(ROOT, digest_of(b'{"f1": 3}'), 9),))
    outputs = {"evaluation": store.put_tree(listing, made), "x/f1.json": store.put_tree(single, tmp_path / "single")}
    assert load_metrics(store, outputs, at=7.0).values == {"loss": 2.0, "acc": 1.0, "f1": 3.0}


@given(st.binary(), st.sampled_from([".json", ".jsonl", ".csv"]))
def test_no_bytes_do_worse_than_a_stage_error(data: bytes, suffix: str) -> None:
    try:
        found = read_metrics({f"m{suffix}": data}, at=0.0)
    except StageError:
        return
    assert all(isinstance(value, float) for value in found.values.values())


NAMES = st.text("abc é", max_size=3)
LEAVES = st.floats() | st.booleans() | st.text("ab", max_size=2) | st.none() | st.integers(-5, 5)


@given(
    st.dictionaries(NAMES, st.recursive(LEAVES, lambda inner: st.dictionaries(NAMES, inner, max_size=3), max_leaves=6))
)
def test_every_number_of_a_json_file_is_found(content: dict[str, object]) -> None:
    def count(value: object) -> int:
        return sum(map(count, value.values())) if isinstance(value, dict) else isinstance(value, int | float)

    assert len(read_metrics({"m.json": json.dumps(content).encode()}, at=0.0).values) == count(content)
