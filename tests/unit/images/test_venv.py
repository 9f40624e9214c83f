"""Environments are built once, known by digest, and the same for all who share a store; all with tiny wheels and no network."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from shipway.errors import BuildError, ConfigError
from shipway.images.base import Prepared
from shipway.images.installers import Installer, Pip, Uv, find_installer
from shipway.images.venv import VenvBuilder
from shipway.specs.stages import Environment
from shipway.store.directory import DirectoryStore

OFFLINE = "--no-index\n--find-links wheels\n"
FILE = Environment(requirements="requirements.txt")
AT_HAND = Environment(python=sys.executable)
Build = Callable[..., VenvBuilder]


@pytest.fixture
def builder(project: Path, tmp_path: Path) -> Build:
    """A builder of the project; another `home` is another machine that shares the store."""

    def make(home: str = "home", installer: Installer | None = None) -> VenvBuilder:
        return VenvBuilder(project, tmp_path / home, DirectoryStore(tmp_path / "store"), installer=installer)

    return make


def require(project: Path, text: str) -> None:
    (project / "requirements.txt").write_text(OFFLINE + text)


def version_of(prepared: Prepared, module: str) -> str:
    """What a job would see: `python` by name, with the variables that it gets."""
    code = f"import {module}; print({module}.VERSION)"
    env = {**os.environ, **prepared.env}
    done = subprocess.run(["/bin/sh", "-c", f"python -c '{code}'"], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_open_requirements_are_unknown_until_resolved_then_built(
    project: Path, builder: Build, make_wheel: Callable[..., Path]
) -> None:
    make_wheel("tinya", "1.0", requires="tinyb>=1")
    make_wheel("tinyb", "1.5")
    require(project, "tinya\n")
    envs = builder()
    assert envs.digest(FILE) is None
    digest = envs.resolve(FILE)
    assert envs.digest(FILE) == digest
    prepared = envs.build(FILE)
    assert prepared.env["PATH"].split(":")[0] == str(Path(prepared.python).parent)
    assert prepared.env["VIRTUAL_ENV"].endswith(digest)
    assert version_of(prepared, "tinyb") == "1.5"
    assert list(Path(prepared.env["VIRTUAL_ENV"]).glob("lib/python*/site-packages/__pycache__/tinya.*.pyc"))


def test_a_lock_stands_for_all_who_share_the_store(
    project: Path, builder: Build, make_wheel: Callable[..., Path]
) -> None:
    make_wheel("tiny", "1.0")
    require(project, "tiny\n")
    digest = builder().resolve(FILE)
    make_wheel("tiny", "2.0")
    assert builder("another machine").digest(FILE) == digest
    assert version_of(builder("another machine").build(FILE), "tiny") == "1.0"


def test_another_requirements_text_is_another_environment(
    project: Path, builder: Build, make_wheel: Callable[..., Path]
) -> None:
    make_wheel("tiny", "1.0")
    make_wheel("tiny", "2.0")
    require(project, "tiny<2\n")
    old = builder().resolve(FILE)
    require(project, "tiny\n")
    assert builder().digest(FILE) is None
    assert builder().resolve(FILE) != old
    require(project, "# the same\ntiny<2\n")
    assert builder().digest(FILE) == old


def test_pins_with_hashes_are_known_without_resolving(
    project: Path, builder: Build, make_wheel: Callable[..., Path]
) -> None:
    digest = hashlib.sha256(make_wheel("tiny").read_bytes()).hexdigest()
    require(project, f"tiny==1.0 --hash=sha256:{digest}\n")
    assert builder().digest(FILE) == builder().resolve(FILE) is not None


def test_hashes_are_checked(project: Path, builder: Build, make_wheel: Callable[..., Path]) -> None:
    wheel = make_wheel("tiny")
    require(project, f"tiny==1.0 --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}\n")
    assert version_of(builder().build(FILE), "tiny") == "1.0"
    require(project, f"tiny==1.0 --hash=sha256:{'0' * 64}\n")
    with pytest.raises(BuildError, match=r"(?i)hash"):
        builder().build(FILE)


def test_further_requirements_make_an_environment_of_their_own(
    project: Path, builder: Build, make_wheel: Callable[..., Path]
) -> None:
    make_wheel("tiny")
    make_wheel("server", "3.0")
    require(project, "tiny\n")
    envs = builder()
    plain, more = envs.build(FILE), envs.build(FILE, ["server>=3"])
    assert envs.digest(FILE) != envs.digest(FILE, ["server>=3"])
    assert (version_of(more, "server"), version_of(more, "tiny")) == ("3.0", "1.0")
    assert plain.python != more.python


def test_a_half_made_environment_is_made_again(project: Path, builder: Build, make_wheel: Callable[..., Path]) -> None:
    make_wheel("tiny")
    require(project, "tiny\n")
    prepared = builder().build(FILE)
    place = Path(prepared.env["VIRTUAL_ENV"])
    (place / ".shipway-complete").unlink()
    for module in place.glob("lib/python*/site-packages/tiny.py"):
        module.unlink()
    assert version_of(builder().build(FILE), "tiny") == "1.0"


def test_an_environment_that_was_moved_is_made_again(
    project: Path, tmp_path: Path, builder: Build, make_wheel: Callable[..., Path]
) -> None:
    make_wheel("tiny")
    require(project, "tiny\n")
    builder().build(FILE)
    (tmp_path / "home").rename(tmp_path / "moved")
    prepared = builder("moved").build(FILE)
    assert str(tmp_path / "moved") in (Path(prepared.python).parent / "activate").read_text()


@pytest.mark.slow
def test_processes_that_build_at_once_build_it_once(
    project: Path, tmp_path: Path, make_wheel: Callable[..., Path]
) -> None:
    make_wheel("tiny")
    require(project, "tiny\n")
    code = (
        "import os, sys; from pathlib import Path; from shipway.images.venv import VenvBuilder\n"
        "from shipway.specs.stages import Environment; from shipway.store.directory import DirectoryStore\n"
        "root, home, store = map(Path, sys.argv[1:]); sys.stdin.readline()\n"
        "made = VenvBuilder(root, home, DirectoryStore(store)).build(Environment(requirements='requirements.txt'))\n"
        "print(os.stat(made.env['VIRTUAL_ENV'] + '/.shipway-complete').st_mtime_ns, made.python)"
    )
    argv = [sys.executable, "-c", code, str(project), str(tmp_path / "home"), str(tmp_path / "store")]
    racers = [subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("\n")
        racer.stdin.flush()
    answers = [racer.communicate(timeout=120)[0] for racer in racers]
    assert all(racer.returncode == 0 for racer in racers)
    assert len(set(answers)) == 1


def test_what_cannot_be_resolved_is_an_error_with_its_reason_and_keeps_nothing(project: Path, builder: Build) -> None:
    require(project, "no-such-package\n")
    with pytest.raises(BuildError, match="no-such-package") as caught:
        builder(installer=Uv(_uv())).resolve(FILE)
    assert caught.value.hint is not None
    assert builder().digest(FILE) is None


def test_a_missing_requirements_file_is_named(builder: Build) -> None:
    with pytest.raises(ConfigError, match=r"requirements\.txt"):
        builder().digest(FILE)


def test_credentials_of_an_index_change_neither_digest_nor_reach_the_store(
    project: Path, tmp_path: Path, builder: Build, make_wheel: Callable[..., Path]
) -> None:
    make_wheel("tiny")
    digests: set[str] = set()
    for secret in ("s3cret", "another"):
        require(project, f"--extra-index-url https://alice:{secret}@example.org/simple\ntiny\n")
        assert (builder().digest(FILE) is None) is (not digests)  # the second asks the same question
        digests.add(builder(installer=Uv(_uv())).resolve(FILE))
        builder(installer=Uv(_uv())).build(FILE)
    assert len(digests) == 1
    kept = [file for place in ("home", "store") for file in (tmp_path / place).rglob("*") if file.is_file()]
    assert kept
    assert not [file for file in kept if b"s3cret" in file.read_bytes()]


# The interpreter at hand


def test_the_interpreter_at_hand_needs_no_building(
    builder: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    prepared = builder().build(Environment())
    assert prepared.python == sys.executable
    assert prepared.env["PATH"] == f"{Path(sys.executable).parent}:/nowhere"
    assert not (tmp_path / "home" / "venvs").exists()


def test_a_python_on_the_path_is_left_as_it_is(builder: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"/nowhere:{Path(sys.executable).parent}")
    assert builder().build(Environment()) == Prepared(python=sys.executable)


def test_a_wrapper_on_the_path_is_replaced_by_what_it_chose(
    builder: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrapper = tmp_path / "shims" / "python"
    wrapper.parent.mkdir()
    wrapper.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    wrapper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{wrapper.parent}:/usr/bin:/bin")
    prepared = builder().build(Environment())
    assert prepared.env["PATH"].startswith(f"{Path(sys.executable).parent}:")


def test_what_the_interpreter_at_hand_has_already_is_not_installed(builder: Build) -> None:
    envs = builder()
    assert envs.digest(AT_HAND, ["msgspec>=0.1"]) == envs.digest(AT_HAND)
    assert envs.build(AT_HAND, ["msgspec>=0.1"]).python == sys.executable


def test_what_the_interpreter_at_hand_lacks_is_put_on_top_of_it(
    project: Path, tmp_path: Path, builder: Build, make_wheel: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    # "on top" must not replace what is there: tinyserver needs msgspec, and the one at hand is the one to see.
    monkeypatch.setenv("PIP_FIND_LINKS", str(project / "wheels"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    import msgspec

    make_wheel("tinyserver", "1.0", requires="msgspec")
    make_wheel("msgspec", msgspec.__version__)
    envs = builder()
    assert envs.digest(AT_HAND, ["tinyserver"]) is None
    prepared = envs.build(AT_HAND, ["tinyserver"])
    assert envs.digest(AT_HAND, ["tinyserver"]) not in (None, envs.digest(AT_HAND))
    assert version_of(prepared, "tinyserver") == "1.0"
    code = "import msgspec, json; print(json.dumps(msgspec.__file__))"
    done = subprocess.run([prepared.python, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == msgspec.__file__


# The installers


def test_uv_is_found_on_the_path_and_beside_our_interpreter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    assert isinstance(find_installer(), Pip)
    (tmp_path / "uv").touch(mode=0o755)
    assert isinstance(find_installer(), Uv)


@pytest.mark.slow
def test_pip_and_uv_come_to_the_same_environment(
    project: Path, builder: Build, make_wheel: Callable[..., Path]
) -> None:
    make_wheel("tinya", "1.0", requires="tinyb")
    make_wheel("tinyb", "1.0")
    make_wheel("tinyb", "1.1")
    require(project, "tinya\n-c bounds.txt\n")
    (project / "bounds.txt").write_text("tinyb<1.1\n")
    with_pip = builder("with pip", installer=Pip())
    digest = with_pip.resolve(FILE)
    assert version_of(with_pip.build(FILE), "tinyb") == "1.0"
    apart = VenvBuilder(project, project / ".uv", DirectoryStore(project / ".uv" / "store"), installer=Uv(_uv()))
    assert apart.resolve(FILE) == digest


@pytest.mark.slow
def test_the_real_index_is_used_where_the_file_names_none(project: Path, builder: Build) -> None:
    (project / "requirements.txt").write_text("iniconfig==2.0.0\n")
    envs = builder()
    try:
        envs.resolve(FILE)
    except BuildError as error:
        pytest.skip(f"no index can be reached: {error.message.splitlines()[-1]}")
    code = "import iniconfig; print(iniconfig.__name__)"
    done = subprocess.run([envs.build(FILE).python, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "iniconfig"


def test_a_build_has_a_deadline(project: Path, tmp_path: Path) -> None:
    require(project, "tiny\n")
    slow = tmp_path / "uv"
    slow.write_text("#!/bin/sh\nsleep 60\n")
    slow.chmod(0o755)
    store = DirectoryStore(tmp_path / "store")
    envs = VenvBuilder(project, tmp_path / "home", store, installer=Uv(str(slow)), limit=timedelta(seconds=0.2))
    with pytest.raises(BuildError, match="not done after"):
        envs.resolve(FILE)


def _uv() -> str:
    found = find_installer()
    if not isinstance(found, Uv):
        pytest.skip("uv is not installed")
    return found.program
