"""Packing makes a bundle that stands alone, is named by its content, and is made once."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shipway.delivery import pack as packing
from shipway.delivery.pack import Pack, check_python, pack, samples_of
from shipway.errors import BuildError, ConfigError, UsageError
from shipway.specs.models import ModelVersion, Triple
from shipway.specs.stages import EndpointSpec
from shipway.specs.trees import Digest
from shipway.store.directory import DirectoryStore
from shipway.store.hashing import Scanner

SAMPLES = b'{"instances": [[1.0, 2.0], [3.0, 4.0]], "predictions": [3.0, 7.0]}'
SCRIPT = "class Model:\n    pass\n"

Make = Callable[..., Pack]


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    return DirectoryStore(tmp_path / "store")


@pytest.fixture
def make(store: DirectoryStore, tmp_path: Path) -> Make:
    def make(source: Path | None = None, **fields: Any) -> Pack:
        if source is None:
            source = tmp_path / "model"
            source.mkdir(exist_ok=True)
            (source / "predict.py").write_text(SCRIPT)
        scan = Scanner(tmp_path / "scans").scan(source)
        store.put_tree(scan.tree, source)
        version = ModelVersion(
            name="digits",
            tree=scan.digest,
            triple=Triple(code="c", data="d", environment="e"),
            key=Digest("1" * 64),
            run="run-1",
            version=fields.pop("version", "3"),
        )
        endpoint = EndpointSpec(name="staging", **fields.pop("spec", {}))
        return Pack(model=version, endpoint=endpoint, python=fields.pop("python", sys.executable), **fields)

    return make


def test_a_bundle_holds_the_model_its_settings_its_samples_and_its_server(
    make: Make, store: DirectoryStore, tmp_path: Path
) -> None:
    release = pack(make(samples=SAMPLES), store, tmp_path / "home")
    bundle = Path(release.bundle)
    assert bundle.parent == tmp_path / "home" / "staging" / "bundles"
    assert json.loads((bundle / "serving.json").read_bytes()) == {"name": "digits", "version": "3", "model": "model"}
    assert (bundle / "model" / "predict.py").read_text() == SCRIPT
    assert json.loads((bundle / "probe.json").read_bytes()) == {"instances": [[1.0, 2.0]]}
    assert samples_of(release) == SAMPLES
    assert (bundle / "lib/shipway/serving/__main__.py").is_file()
    assert not (bundle / "lib/shipway/cli").exists()


def test_the_bundle_s_own_server_runs_without_our_installation(
    make: Make, store: DirectoryStore, tmp_path: Path
) -> None:
    bundle = Path(pack(make(), store, tmp_path / "home").bundle)
    code = "import shipway.serving.server; print(shipway.serving.server.__file__)"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], env={"PYTHONPATH": str(bundle / "lib")}, capture_output=True, check=True
    )
    assert done.stdout.decode().startswith(str(bundle))


def test_a_model_that_is_one_file_keeps_its_name(make: Make, store: DirectoryStore, tmp_path: Path) -> None:
    (tmp_path / "clf.joblib").write_bytes(b"weights")
    release = pack(make(tmp_path / "clf.joblib", path="out/clf.joblib"), store, tmp_path / "home")
    bundle = Path(release.bundle)
    assert json.loads((bundle / "serving.json").read_bytes())["model"] == "model/clf.joblib"
    assert (bundle / "model" / "clf.joblib").read_bytes() == b"weights"


def test_packing_again_is_the_same_release_and_copies_nothing(
    make: Make, store: DirectoryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = pack(make(samples=SAMPLES), store, tmp_path / "home")
    monkeypatch.setattr(packing, "_write", lambda *_: pytest.fail("packed twice"))
    assert pack(make(samples=SAMPLES), store, tmp_path / "home") == first


def test_a_bundle_that_was_changed_is_packed_anew(make: Make, store: DirectoryStore, tmp_path: Path) -> None:
    first = pack(make(), store, tmp_path / "home")
    script = Path(first.bundle) / "model" / "predict.py"
    script.write_text("import evil\n")
    assert pack(make(), store, tmp_path / "home") == first
    assert script.read_text() == SCRIPT


def test_bytecode_that_a_running_server_wrote_is_no_change(make: Make, store: DirectoryStore, tmp_path: Path) -> None:
    first = pack(make(), store, tmp_path / "home")
    cache = Path(first.bundle) / "lib/shipway/__pycache__"
    cache.mkdir()
    (cache / "x.pyc").write_bytes(b"code")
    pack(make(), store, tmp_path / "home")
    assert (cache / "x.pyc").exists()


def test_a_pack_that_broke_off_leaves_nothing_under_the_bundle_s_name(
    make: Make, store: DirectoryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(digest: Digest, target: Path) -> None:
        target.mkdir()
        (target / "half").write_text("half")
        raise OSError("disk full")

    monkeypatch.setattr(store, "checkout", broken)
    with pytest.raises(OSError, match="disk full"):
        pack(make(), store, tmp_path / "home")
    assert list((tmp_path / "home/staging/bundles").iterdir()) == []


def test_a_revision_is_named_by_its_version_and_by_all_that_changes_how_it_serves(
    make: Make, store: DirectoryStore, tmp_path: Path
) -> None:
    def name(**fields: Any) -> str:
        return pack(make(**fields), store, tmp_path / "home").revision

    names = [
        name(),
        name(samples=SAMPLES),
        name(spec={"port": 8081}),
        name(spec={"env": {"MODE": "fast"}}),
        name(secrets={"TOKEN": "a"}),
        name(version="4"),
    ]
    assert len(set(names)) == len(names)
    assert [part.partition("-")[0] for part in names] == ["v3", "v3", "v3", "v3", "v3", "v4"]
    assert name(secrets={"TOKEN": "b"}) == names[4]


def test_secrets_are_in_the_release_and_not_in_the_bundle(make: Make, store: DirectoryStore, tmp_path: Path) -> None:
    release = pack(make(secrets={"TOKEN": "hush-hush"}), store, tmp_path / "home")
    assert dict(release.secrets) == {"TOKEN": "hush-hush"}
    assert not any(b"hush-hush" in path.read_bytes() for path in (tmp_path / "home").rglob("*") if path.is_file())


def test_an_interpreter_without_what_serving_needs_is_one_clear_error(tmp_path: Path) -> None:
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')
    bare.chmod(0o755)
    with pytest.raises(BuildError, match="cannot serve: msgspec, numpy, httptools not installed") as caught:
        check_python(str(bare))
    assert caught.value.hint is not None
    assert "requirements" in caught.value.hint


def test_an_interpreter_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="no-such-python does not run"):
        check_python(str(tmp_path / "no-such-python"))


def test_samples_that_cannot_be_read_are_an_error_before_anything_is_written(
    make: Make, store: DirectoryStore, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError):
        pack(make(samples=b"{}"), store, tmp_path / "home")
    assert not (tmp_path / "home").exists()


def test_a_version_that_was_not_registered_is_refused(make: Make, store: DirectoryStore, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no version"):
        pack(make(version=None), store, tmp_path / "home")
