"""Requirements files are read as pip reads them, and what others could not install is refused."""

import contextlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shipway.errors import ConfigError
from shipway.images.requirements import read_requirements

HASH = "--hash=sha256:" + "0" * 64


def write(directory: Path, text: str, name: str = "requirements.txt") -> Path:
    path = directory / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_comments_blank_lines_and_continuations_are_understood(tmp_path: Path) -> None:
    read = read_requirements(
        write(tmp_path, "# all\n\nnumpy>=1.26  # fast\nsix==1.16.0 \\\n    --hash=sha256:ab\nlast")
    )
    assert read.lines == ("numpy>=1.26", "six==1.16.0 --hash=sha256:ab", "last")


def test_a_sharp_inside_a_url_is_no_comment(tmp_path: Path) -> None:
    line = "tiny @ https://example.org/tiny-1.0-py3-none-any.whl#sha256=ab"
    assert read_requirements(write(tmp_path, line)).lines == (line,)


def test_included_files_are_followed_from_where_they_lie(tmp_path: Path) -> None:
    write(tmp_path, "six\n-c bounds.txt\n", "requirements/base.txt")
    write(tmp_path, "six<2\n", "requirements/bounds.txt")
    read = read_requirements(write(tmp_path, "-r requirements/base.txt\n--requirement=requirements/base.txt\nnumpy\n"))
    assert (read.lines, read.constraints) == (("six", "numpy"), ("six<2",))


def test_files_that_include_each_other_end(tmp_path: Path) -> None:
    write(tmp_path, "-r b.txt\nsix\n", "a.txt")
    write(tmp_path, "-r a.txt\nnumpy\n", "b.txt")
    assert read_requirements(tmp_path / "a.txt").lines == ("numpy", "six")


def test_options_are_kept_and_local_directories_made_absolute(tmp_path: Path) -> None:
    (tmp_path / "my wheels").mkdir()
    read = read_requirements(
        write(tmp_path, '--index-url https://example.org/simple\n--find-links "my wheels"\n-f https://e.org\n')
    )
    assert read.written == ("--index-url https://example.org/simple", '--find-links "my wheels"', "-f https://e.org")
    assert read.options[1] == f"--find-links '{tmp_path}/my wheels'"


@pytest.mark.parametrize(
    "line",
    [
        "-e .", "--editable=src/pkg", ".", "./pkg", "../pkg", "/opt/pkg", "~/pkg", "pkg/sub", "tiny-1.0-py3-none-any.whl",
        "dist/tiny-1.0.tar.gz", "tiny @ file:///opt/tiny.whl", "file:///opt/tiny.whl", "-r https://example.org/r.txt",
        "tiny @ https://user:secret@example.org/tiny.whl",
    ],
)  # fmt: skip
def test_what_means_something_here_only_is_refused_with_its_place(tmp_path: Path, line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_requirements(write(tmp_path, f"six\n{line}\n"))
    assert "requirements.txt:2" in caught.value.message
    assert "secret" not in caught.value.message


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        read_requirements(write(tmp_path, "-e .\n-r absent.txt\n./pkg\n"))
    assert len(caught.value.problems) == 3


def test_credentials_by_variable_are_allowed(tmp_path: Path) -> None:
    line = "tiny @ https://user:${TOKEN}@example.org/tiny.whl"
    assert read_requirements(write(tmp_path, line)).lines == (line,)


@pytest.mark.parametrize(
    ("text", "locked"),
    [
        (f"six==1.16.0 {HASH}\n", True),
        (f"six==1.16.0 ; python_version < '4' {HASH} {HASH}\nnumpy[extra] == 1.26 \\\n  {HASH}\n--index-url https://e.org\n", True),
        ("six==1.16.0\n", False),
        (f"six==1.16.0 {HASH}\nnumpy==1.26\n", False),
        (f"six>=1.16.0 {HASH}\n", False),
        (f"six==1.* {HASH}\n", False),
        ("# nothing\n", False),
    ],
)  # fmt: skip
def test_only_pins_with_hashes_are_a_lock(tmp_path: Path, text: str, locked: bool) -> None:
    assert read_requirements(write(tmp_path, text)).locked is locked


def test_further_lines_take_the_hashes_away_and_leave_the_pins(tmp_path: Path) -> None:
    read = read_requirements(write(tmp_path, f"six==1.16.0 ; python_version < '4' {HASH}\n"))
    assert read.with_lines(()).locked
    assert read.with_lines(("numpy>=1",)).lines == ("six==1.16.0 ; python_version < '4'", "numpy>=1")


@settings(max_examples=50)
@given(st.lists(st.tuples(st.sampled_from(["", "-r ", "-c", "-f ", "a @ ", "x==1 \\\n", "--"]), st.text(max_size=40))))
def test_any_text_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, lines: list[tuple[str, str]]) -> None:
    text = "\n".join(head + tail for head, tail in lines)
    path = tmp_path_factory.getbasetemp() / "any.txt"
    path.write_text(text, encoding="utf-8", errors="surrogatepass")
    with contextlib.suppress(ConfigError):
        read_requirements(path)
