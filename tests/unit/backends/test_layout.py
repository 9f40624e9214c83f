"""Code is copied, data is linked, and what is written into is real."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipway.backends.layout import FEW_FILES, Layout, is_under, join, plan
from shipway.errors import InvalidJobError
from shipway.specs.jobs import Mount
from shipway.specs.trees import ROOT, Entry, Tree, digest_of
from shipway.store.trees import build_tree, check_tree


def tree(*names: str) -> Tree:
    """A name that ends in "*" is executable, one with "->" a link, one that ends in "/" an empty directory."""
    return build_tree(map(entry, names))


def entry(name: str) -> Entry:
    path, arrow, target = name.partition("->")
    if arrow:
        return Entry(path, target=target)
    if name.endswith("/"):
        return Entry(name)
    return Entry(name.rstrip("*"), digest_of(name.encode()), 1, name.endswith("*"))


def many(directory: str, suffix: str = "") -> tuple[str, ...]:
    return tuple(f"{directory}/{at}{suffix}" for at in range(FEW_FILES + 1))


def lay(inputs: dict[str, Tree], outputs: tuple[str, ...] = (), origins: dict[str, str] | None = None) -> Layout:
    mounts = [Mount(path=path, tree=tree.digest, origin=(origins or {}).get(path)) for path, tree in inputs.items()]
    return plan(mounts, {tree.digest: tree for tree in inputs.values()}, outputs)


def links(layout: Layout) -> list[str]:
    return [link.path for link in layout.links]


def copied(layout: Layout) -> list[str]:
    return sorted(join(copy.path, entry.path) for copy in layout.copies for entry in copy.tree.entries)


def test_a_directory_of_data_is_one_link() -> None:
    data = tree("a", "b/c", *many("d"))
    layout = lay({"data/raw": data})
    assert (links(layout), layout.copies) == (["data/raw"], ())
    assert layout.links[0].digest == data.digest


@pytest.mark.parametrize("code", ["a.py", "deep/er/run.sh", "model.R", "sim.jl", "book.ipynb", "tool*"])
def test_a_directory_with_code_is_copied_whole(code: str) -> None:
    src = tree(code, *many("data"))
    layout = lay({"src": src})
    assert links(layout) == []
    assert [(copy.path, copy.digest) for copy in layout.copies] == [("src", src.digest)]


def test_a_single_file_is_copied() -> None:
    file = tree(ROOT)
    assert [(copy.path, copy.digest) for copy in lay({"data/one.csv": file}).copies] == [("data/one.csv", file.digest)]


def test_an_output_in_a_directory_of_data_makes_it_real_and_links_its_children() -> None:
    layout = lay({"data": tree("a", "raw/x", "old/deep/y", "old/z")}, ("data/old/made",), {"data": "/project/data"})
    assert links(layout) == ["data/old/deep", "data/raw"]
    assert copied(layout) == ["data/a", "data/old/z"]
    assert [link.origin for link in layout.links] == ["/project/data/old/deep", "/project/data/raw"]


def test_an_output_that_is_an_input_is_copied_so_that_it_can_be_written() -> None:
    assert links(lay({"state": tree("a")}, ("state",))) == []
    assert links(lay({"state/in": tree("a")}, ("state",))) == []
    assert links(lay({"state": tree("in/a", "b/c")}, ("state/in",))) == ["state/b"]


def test_a_deeper_mount_hides_what_a_shallower_one_has_there() -> None:
    layout = lay({"data/raw": tree("new"), "data": tree("raw/old", "b/x", "c")})
    assert links(layout) == ["data/b", "data/raw"]
    assert copied(layout) == ["data/c"]


def test_a_mount_inside_code_leaves_the_code_real() -> None:
    layout = lay({"src": tree("a.py", "t/x", "data/old"), "src/data": tree("new")})
    assert links(layout) == ["src/data"]
    assert copied(layout) == ["src/a.py", "src/t/x"]


def test_undeclared_inputs_link_their_large_directories_of_data_only() -> None:
    layout = lay({".": tree("train.py", "src/m.py", *many("src/data"), *many("data/raw"), "logs/.gitkeep", "a/b")})
    assert links(layout) == ["data", "src/data"]
    assert copied(layout) == ["a/b", "logs/.gitkeep", "src/m.py", "train.py"]


def test_a_large_file_makes_a_directory_large() -> None:
    big = Tree((Entry("data/a", digest_of(b"a"), 1 << 30),))
    assert links(lay({".": big})) == ["data"]


def test_parts_of_a_tree_are_linked_by_their_own_digest() -> None:
    whole = tree(*many("data/raw"))
    part = Tree(tuple(whole.below("data")))
    assert [(link.digest, link.tree) for link in lay({".": whole}).links] == [(part.digest, part)]


def test_two_mounts_of_the_whole_work_tree_are_laid_over_each_other() -> None:
    layout = plan(
        [Mount(path=".", tree=tree("a.py", "b").digest), Mount(path=".", tree=tree("b", "c").digest)],
        {one.digest: one for one in (tree("a.py", "b"), tree("b", "c"))},
        (),
    )
    assert copied(layout) == ["a.py", "b", "c"]


def test_a_directory_whose_links_lead_out_of_it_is_real() -> None:
    layout = lay({"data": tree("a/l->../b/x", "b/x")}, ("data/made",))
    assert links(layout) == ["data/b"]
    assert copied(layout) == ["data/a/l"]


def test_empty_directories_are_kept() -> None:
    assert copied(lay({".": tree("a.py", "empty/", "b/c/")})) == ["a.py", "b/c/", "empty/"]


def test_parents_of_outputs_are_named() -> None:
    assert lay({}, ("a/b/c", "d", "a/b/e")).directories == ("a/b",)


@pytest.mark.parametrize(
    ("inputs", "outputs"),
    [({"a": tree(ROOT)}, ("a/out",)), ({".": tree("a")}, ("a/out",)), ({"d": tree("a"), "d/a/b": tree("x")}, ())],
)
def test_nothing_can_lie_inside_a_file(inputs: dict[str, Tree], outputs: tuple[str, ...]) -> None:
    with pytest.raises(InvalidJobError, match="is a file"):
        lay(inputs, outputs)


PATHS = st.lists(st.sampled_from(["a", "b", "c.py"]), min_size=1, max_size=4).map("/".join)
TREES = st.lists(PATHS, max_size=8).map(lambda paths: Tree(tuple(map(entry, free(paths)))))


def free(paths: list[str]) -> list[str]:
    """Sorted, without those that lie inside another."""
    return sorted(path for path in set(paths) if not any(is_under(path, [other]) for other in set(paths) - {path}))


@given(st.dictionaries(PATHS | st.just("."), TREES, max_size=4), st.lists(PATHS, max_size=3))
def test_every_file_is_laid_out_once_and_nothing_is_linked_where_it_may_be_written(
    inputs: dict[str, Tree], outputs: list[str]
) -> None:
    try:
        layout = lay(inputs, tuple(outputs))
    except InvalidJobError:
        return
    linked = [
        join(link.path, entry.path) for link in layout.links for entry in by_digest(inputs, link.digest, layout).entries
    ]
    assert sorted(copied(layout) + linked) == sorted(seen(inputs))
    for path in links(layout):
        assert not any(is_under(other, [path]) or is_under(path, [other]) for other in outputs)
        assert not any(is_under(other, [path]) for other in [*inputs, *links(layout)] if other != path)
    for copy in layout.copies:
        check_tree(copy.tree)


def by_digest(inputs: dict[str, Tree], digest: str, layout: Layout) -> Tree:
    known = [*inputs.values(), *(link.tree for link in layout.links if link.tree)]
    return next(tree for tree in known if tree.digest == digest)


def seen(inputs: dict[str, Tree]) -> set[str]:
    """Each file of each mount that no deeper mount hides."""
    return {
        path
        for mount, tree in inputs.items()
        for path in (join(mount, entry.path) for entry in tree.entries)
        if not any(is_deeper(other, mount) and is_under(path, [other]) for other in inputs)
    }


def is_deeper(one: str, other: str) -> bool:
    return one not in (other, ".") and (other == "." or is_under(one, [other]))
