"""
Packing: a model version becomes a bundle, a directory that serves it with nothing from here but an interpreter.

    serving.json   name, version and where the model lies
    model/         the model as its stage made it
    probe.json     the first sample, which a revision must answer before it is ready
    samples.json   the samples, so that a later rollback can be verified too
    lib/shipway/   the code that serves it, so that a revision keeps its own however Shipway changes

A bundle is named by the digest of its tree, known before anything is written: the same version is packed once.
"""

import functools
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

import msgspec

import shipway
from shipway.delivery.samples import read_samples
from shipway.errors import BuildError, CorruptError, UsageError
from shipway.specs.models import ModelVersion
from shipway.specs.releases import Release
from shipway.specs.stages import EndpointSpec
from shipway.specs.trees import ROOT, Entry, digest_of
from shipway.store.base import Store
from shipway.store.hashing import Scanner
from shipway.store.trees import build_tree

SERVING_NEEDS = ("msgspec", "numpy", "httptools")
SHIPPED = ("__init__.py", "errors.py", "specs", "serving")


class Pack(msgspec.Struct, frozen=True, kw_only=True):
    """
    What to pack. `path` is the output that held the model (its last part names a model that is a single file); `python` the interpreter of
    its environment; `samples` the content of a samples file; `secrets` the values of those that the endpoint names.
    """

    model: ModelVersion
    endpoint: EndpointSpec
    python: str
    path: str = "model"
    samples: bytes | None = None
    secrets: Mapping[str, str] = {}

    def __repr__(self) -> str:
        return f"Pack(model={self.model.name!r}, version={self.model.version!r}, endpoint={self.endpoint.name!r})"


def pack(what: Pack, store: Store, home: Path) -> Release:
    """
    Make the bundle at `home/<endpoint>/bundles/<digest>` unless it is there; return the release. May be repeated.

    Raises BuildError where the interpreter lacks what serving needs, ConfigError for the samples, NotFoundError and CorruptError.
    """
    if what.model.version is None:
        raise UsageError(f"model {what.model.name} has no version yet", hint="register it before it is packed")
    check_python(what.python)
    files = _files(what, store)
    entries = [*_model_entries(what, store), *(Entry(path, digest_of(data), len(data)) for path, data in files.items())]
    digest = build_tree(entries).digest
    bundles = home.absolute() / what.endpoint.name / "bundles"
    bundle = bundles / digest
    if not _is_whole(bundle):
        _write(what, store, files, bundle)
        if not _is_whole(bundle):
            raise CorruptError(f"the bundle {bundle} is not what was packed", hint="is another program writing there?")
    return _release(what, bundle)


def samples_of(release: Release) -> bytes | None:
    """The samples that a release carries."""
    path = Path(release.bundle) / "samples.json"
    return path.read_bytes() if path.is_file() else None


def check_python(python: str) -> None:
    """Raise BuildError unless this interpreter has the packages that serving needs."""
    code = (
        "import importlib.util, sys; print(*(name for name in sys.argv[1:] if importlib.util.find_spec(name) is None))"
    )
    try:
        done = subprocess.run([python, "-P", "-c", code, *SERVING_NEEDS], capture_output=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BuildError(f"the environment's interpreter {python} does not run: {error}") from error
    if done.returncode:
        raise BuildError(
            f"the environment's interpreter {python} does not run: {done.stderr.decode(errors='replace').strip()}"
        )
    if missing := done.stdout.decode().split():
        hint = f"add to its requirements: {', '.join(missing)} (or shipway[serving])"
        raise BuildError(f"the environment of {python} cannot serve: {', '.join(missing)} not installed", hint=hint)


# What is in it


def _files(what: Pack, store: Store) -> dict[str, bytes]:
    """All of the bundle but the model, by path."""
    name, version = what.model.name, what.model.version
    settings = {"name": name, "version": version, "model": _model_path(what, store)}
    files = {"serving.json": msgspec.json.encode(settings), **_library()}
    if what.samples is not None:
        samples = read_samples(what.samples, what.endpoint.samples or "samples")
        files["probe.json"] = msgspec.json.encode(next(samples.batches(1)).body)
        files["samples.json"] = what.samples
    return files


@functools.cache
def _library() -> Mapping[str, bytes]:
    root = Path(shipway.__file__).parent
    parts = [root / part for part in SHIPPED]
    found = [path for part in parts for path in (part.rglob("*") if part.is_dir() else [part])]
    ours = sorted(path for path in found if path.is_file() and "__pycache__" not in path.parts)
    return {f"lib/shipway/{path.relative_to(root).as_posix()}": path.read_bytes() for path in ours}


def _model_path(what: Pack, store: Store) -> str:
    """A model that is one file keeps its name, by which the server knows what kind it is."""
    return "model" if store.tree(what.model.tree).is_directory else f"model/{Path(what.path).name}"


def _model_entries(what: Pack, store: Store) -> list[Entry]:
    base = _model_path(what, store)
    return [
        msgspec.structs.replace(entry, path=base if entry.path == ROOT else f"{base}/{entry.path}")
        for entry in store.tree(what.model.tree).entries
    ]


# Onto the disk


def _write(what: Pack, store: Store, files: Mapping[str, bytes], bundle: Path) -> None:
    """Build it beside its place and move it there whole; of two at once either's is as good."""
    bundle.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temp = Path(tempfile.mkdtemp(prefix=".packing-", dir=bundle.parent))
    try:
        model = temp / _model_path(what, store)
        model.parent.mkdir(exist_ok=True)
        store.checkout(what.model.tree, model)
        for path, data in files.items():
            (temp / path).parent.mkdir(parents=True, exist_ok=True)
            (temp / path).write_bytes(data)
        try:
            temp.rename(bundle)
        except OSError:
            if not bundle.is_dir():
                raise
    finally:
        shutil.rmtree(temp, ignore_errors=True)


def _is_whole(bundle: Path) -> bool:
    """Whether it is what its name says. One that was changed or half lost in a power cut goes."""
    if not bundle.is_dir():
        return False
    scanner = Scanner(bundle.parent / ".scans")
    found = scanner.scan(bundle).digest
    scanner.save()
    if found != bundle.name:
        shutil.rmtree(bundle, ignore_errors=True)
    return found == bundle.name


def _release(what: Pack, bundle: Path) -> Release:
    spec = what.endpoint
    release = Release(
        endpoint=spec.name,
        revision="",
        model=what.model,
        bundle=str(bundle),
        python=what.python,
        env=spec.env,
        secrets=what.secrets,
        startup=spec.startup,
        drain=spec.drain,
    )
    # Whatever changes how it is served makes another revision, so that it is rolled out and not just noted.
    settings = (
        bundle.name,
        what.python,
        sorted(spec.env.items()),
        sorted(what.secrets),
        spec.host,
        spec.port,
        spec.startup,
        spec.drain,
    )
    digest = digest_of(msgspec.json.encode(settings))
    return msgspec.structs.replace(release, revision=f"v{what.model.version}-{digest[:8]}")
