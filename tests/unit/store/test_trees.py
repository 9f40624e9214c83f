"""What a tree may hold."""

import pytest

from shipway.errors import UnsafePathError
from shipway.specs.trees import ROOT, Entry, digest_of
from shipway.store.trees import build_tree, check_link, check_path, check_tree

FILE = digest_of(b"content")


@pytest.mark.parametrize(
    "path", ["a", "a/b", ".hidden", "...", "..a", "a..", "a/..b/c.", "-rf", " ", "\n", "a\\b", "~"]
)
def test_a_path_that_stays_inside_is_kept_as_it_is(path: str) -> None:
    assert check_path(path) == path


@pytest.mark.parametrize(
    "path", ["", ".", "..", "/", "/a", "a/", "./a", "a/.", "a/..", "a/../b", "../a", "a//b", "a\0b"]
)
def test_any_other_path_is_refused(path: str) -> None:
    with pytest.raises(UnsafePathError, match="path"):
        check_path(path)


def test_a_name_that_is_not_utf8_is_refused_with_a_hint() -> None:
    with pytest.raises(UnsafePathError, match="UTF-8") as caught:
        check_path(b"caf\xe9".decode("utf-8", "surrogateescape"))
    assert caught.value.hint


@pytest.mark.parametrize(
    ("path", "target"), [("l", "a"), ("l", "a/b"), ("l", "./a"), ("d/l", "../a"), ("d/e/l", "../../a"), ("d/l", "..")]
)
def test_a_link_that_stays_inside_is_kept(path: str, target: str) -> None:
    assert check_link(path, target) == target


@pytest.mark.parametrize(
    ("path", "target"),
    [("l", "/a"), ("l", ".."), ("l", "../a"), ("d/l", "../../a"), ("d/l", "x/../y"), ("d/l", "./../.."), ("l", "")],
)
def test_a_link_that_leaves_is_refused_and_both_ends_named(path: str, target: str) -> None:
    with pytest.raises(UnsafePathError) as caught:
        check_link(path, target)
    assert repr(path) in caught.value.message
    assert repr(target) in caught.value.message


def test_entries_are_sorted_by_code_point() -> None:
    tree = build_tree([Entry("é", FILE, 7), Entry("a/b", FILE, 7), Entry("a-b", FILE, 7), Entry("Z", FILE, 7)])
    assert [entry.path for entry in tree.entries] == ["Z", "a-b", "a/b", "é"]


def test_an_empty_directory_may_not_hold_anything() -> None:
    with pytest.raises(UnsafePathError, match="'a'"):
        build_tree([Entry("a/"), Entry("a/b", FILE, 7)])


def test_a_single_file_and_nothing_are_trees() -> None:
    check_tree(build_tree([Entry(ROOT, FILE, 7)]))
    check_tree(build_tree([]))
