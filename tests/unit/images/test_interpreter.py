"""Interpreters are started once, then known by their files; what is installed counts by name and version."""

import os
import shutil
import sys
from pathlib import Path

import pytest

from shipway.errors import BuildError, ConfigError
from shipway.images.interpreter import Interpreters, digest_of_installed


def program(directory: Path, name: str, text: str) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def counted(tmp_path: Path) -> Path:
    """A wrapper of this interpreter that leaves a line for each start, and sees one directory of packages more."""
    site = tmp_path / "site"
    site.mkdir()
    text = f'echo >> {tmp_path}/starts\nPYTHONPATH={site} exec {sys.executable} "$@"'
    return program(tmp_path / "bin", "python", text)


@pytest.fixture
def interpreters(tmp_path: Path) -> Interpreters:
    return Interpreters(tmp_path, tmp_path / "cache")


def starts(tmp_path: Path) -> int:
    return len((tmp_path / "starts").read_text().splitlines())


def install(tmp_path: Path, name: str) -> None:
    (tmp_path / "site" / name).mkdir()


def test_an_interpreter_says_what_it_is(interpreters: Interpreters) -> None:
    about = interpreters.describe(sys.executable)
    assert (about.executable, about.implementation) == (sys.executable, sys.implementation.name)
    assert about.version.startswith(f"{sys.version_info.major}.{sys.version_info.minor}.{sys.version_info.micro}")
    assert about.prefix == (sys.prefix if sys.prefix != sys.base_prefix else None)


def test_an_interpreter_is_started_once(interpreters: Interpreters, tmp_path: Path, counted: Path) -> None:
    first = interpreters.installed(str(counted))
    assert Interpreters(tmp_path, tmp_path / "cache").installed(str(counted)) == first
    assert starts(tmp_path) == 1


def test_another_file_under_its_name_is_looked_at_again(
    interpreters: Interpreters, tmp_path: Path, counted: Path
) -> None:
    interpreters.describe(str(counted))
    counted.write_text(counted.read_text() + "# another\n")
    interpreters.describe(str(counted))
    assert starts(tmp_path) == 2


def test_a_wrapper_is_asked_again_when_the_project_chooses_a_version(
    interpreters: Interpreters, tmp_path: Path, counted: Path
) -> None:
    interpreters.describe(str(counted))
    (tmp_path / ".python-version").write_text("3.12\n")
    interpreters.describe(str(counted))
    assert starts(tmp_path) == 2


def test_what_is_installed_changes_the_digest(interpreters: Interpreters, tmp_path: Path, counted: Path) -> None:
    digests = []
    for name in ("a-1.0.dist-info", "B_c-2.0-py3.11.egg-info", "d.egg-link", "a.txt"):
        install(tmp_path, name)
        digests.append(digest_of_installed(*interpreters.installed(str(counted))))
    assert len(set(digests)) == 3  # a.txt is no package
    _, installed = interpreters.installed(str(counted))
    assert {"a": "1.0", "b-c": "2.0", "d": "editable"}.items() <= installed.items()
    assert starts(tmp_path) == 1


def test_an_upgrade_changes_the_digest(interpreters: Interpreters, tmp_path: Path, counted: Path) -> None:
    install(tmp_path, "a-1.0.dist-info")
    os.utime(tmp_path / "site", (1, 1))  # long settled, so that what is seen is kept
    old = digest_of_installed(*interpreters.installed(str(counted)))
    (tmp_path / "site" / "a-1.0.dist-info").rename(tmp_path / "site" / "a-1.1.dist-info")
    assert digest_of_installed(*interpreters.installed(str(counted))) != old


def test_shipways_own_version_does_not_change_the_digest(interpreters: Interpreters) -> None:
    about, installed = interpreters.installed(sys.executable)
    assert digest_of_installed(about, {**installed, "shipway": "9"}) == digest_of_installed(about, installed)


def test_a_damaged_cache_is_made_again(interpreters: Interpreters, tmp_path: Path) -> None:
    about = interpreters.describe(sys.executable)
    for file in (tmp_path / "cache").iterdir():
        file.write_bytes(b"{")
    assert interpreters.describe(sys.executable) == about


def test_python_goes_before_python3_and_the_path_before_our_own(
    interpreters: Interpreters, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = tmp_path / "1", tmp_path / "2"
    first.mkdir()
    monkeypatch.setenv("PATH", f"{first}:{second}")
    assert interpreters.at_hand() == sys.executable
    program(first, "python3", "true")
    assert interpreters.at_hand() == f"{first}/python3"
    program(second, "python", "true")
    assert interpreters.at_hand() == f"{second}/python"


def test_an_interpreter_that_is_not_there_is_named(interpreters: Interpreters) -> None:
    with pytest.raises(ConfigError, match=r"python9\.9"):
        interpreters.named("python9.9")


def test_an_interpreter_by_path_is_relative_to_the_project(interpreters: Interpreters, tmp_path: Path) -> None:
    program(tmp_path / "env" / "bin", "python", "true")
    assert interpreters.named("env/bin/python") == f"{tmp_path}/env/bin/python"


def test_an_interpreter_that_fails_tells_what_it_said(interpreters: Interpreters, tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="no such version"):
        interpreters.describe(str(program(tmp_path, "python", "echo no such version >&2; exit 1")))


@pytest.mark.skipif(not shutil.which("env"), reason="no env program")
def test_python_variables_of_the_caller_are_not_seen(
    interpreters: Interpreters, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert str(tmp_path) not in interpreters.describe(sys.executable).paths
    assert os.environ["PYTHONPATH"] == str(tmp_path)
