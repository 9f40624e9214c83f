"""
Python interpreters: which one is meant, what it is, and what is installed for it.

Rule: an interpreter is started once to learn what it is, then known by its file until that changes; what is installed is read from the
names in its directories.
"""

import os
import re
import shutil
import sys
import time
from contextlib import suppress
from pathlib import Path

import msgspec

from shipway.errors import BuildError, ConfigError
from shipway.specs.trees import Digest, digest_of

_DISTRIBUTION = re.compile(r"^(?P<name>[^-]+)-(?P<version>[^-]+).*\.(dist|egg)-info$")
_LINK = ".egg-link"
_UNSETTLED_NS = 2_000_000_000
"""A directory changed this short a time ago may change again without its time stamp showing it."""

_PROBE = """
import json, os, sys
v = sys.implementation.version
print(json.dumps({
    "executable": sys.executable,
    "prefix": sys.prefix if sys.prefix != sys.base_prefix else None,
    "implementation": sys.implementation.name,
    "version": ".".join(map(str, sys.version_info[:3])) + ("" if sys.version_info[3] == "final" else sys.version_info[3]),
    "platform": sys.platform,
    "machine": os.uname().machine,
    "paths": [path for path in sys.path if path and os.path.isdir(path)],
}))
"""


class Interpreter(msgspec.Struct, frozen=True, kw_only=True):
    """`prefix` is set if it is a virtual environment's; `paths` are the directories that it imports from."""

    executable: str
    prefix: str | None
    implementation: str
    version: str
    platform: str
    machine: str
    paths: tuple[str, ...]

    @property
    def tag(self) -> tuple[str, str, str, str]:
        """What decides, besides the packages, how code runs."""
        return (self.implementation, self.version, self.platform, self.machine)

    @property
    def lock_tag(self) -> tuple[str, str, str, str]:
        """What decides which packages requirements come to: not the third part of the version."""
        return (self.implementation, ".".join(self.version.split(".")[:2]), self.platform, self.machine)


class _Known(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of an interpreter between calls."""

    stamp: tuple[str, ...]
    interpreter: Interpreter
    installed: dict[str, str] = {}
    changed: tuple[int, ...] = ()
    """Of each directory, when it last changed, in ns; empty if `installed` cannot be relied on."""


class Interpreters:
    """Finds interpreters for the project at `root`; what it learns of them is kept in `cache`, which projects may share."""

    def __init__(self, root: Path, cache: Path) -> None:
        self._root = root
        self._cache = cache

    def at_hand(self) -> str:
        """The first `python`, else `python3`, on PATH; else the one that runs Shipway."""
        return shutil.which("python") or shutil.which("python3") or sys.executable

    def on_path(self, program: str) -> bool:
        """Whether it is what a command finds under one of the usual names."""
        return program in (shutil.which("python"), shutil.which("python3"))

    def named(self, name: str | None) -> str:
        """The program that `environment.python` means; None: the one that runs Shipway."""
        if name is None:
            return sys.executable
        found = shutil.which(str(self._root / name) if "/" in name else name)
        if found is None:
            raise ConfigError(
                [f"environment.python: there is no program {name}"], hint="install it, or leave `python` out"
            )
        return found

    def describe(self, program: str) -> Interpreter:
        """What the interpreter is. Raises BuildError if it does not say."""
        return self._known(program).interpreter

    def installed(self, program: str) -> tuple[Interpreter, dict[str, str]]:
        """The interpreter, and the version of each distribution that it can import, by normalised name."""
        known = self._known(program)
        changed = _changed(known.interpreter.paths)
        if changed != known.changed:
            known = msgspec.structs.replace(known, installed=_installed(known.interpreter.paths), changed=changed)
            if time.time_ns() - max(changed, default=0) > _UNSETTLED_NS:
                self._keep(program, known)
        return known.interpreter, known.installed

    def _known(self, program: str) -> _Known:
        stamp = _stamp(program, self._root)
        try:
            known = msgspec.json.decode(self._file(program).read_bytes(), type=_Known)
        except (OSError, msgspec.DecodeError):
            known = None
        if known is None or known.stamp != stamp:
            known = _Known(stamp=stamp, interpreter=_probe(program, self._root))
            self._keep(program, known)
        return known

    def _keep(self, program: str, known: _Known) -> None:
        """Whole or not at all; losing it costs only time."""
        file = self._file(program)
        with suppress(OSError):  # a home that cannot be written is no fault of the project's
            file.parent.mkdir(parents=True, exist_ok=True)
            fresh = file.with_suffix(f".{os.getpid()}-{os.urandom(4).hex()}")
            fresh.write_bytes(msgspec.json.encode(known))
            fresh.replace(file)

    def _file(self, program: str) -> Path:
        return self._cache / f"{digest_of(program.encode())[:20]}.json"


def user_cache() -> Path:
    """Where what is known of interpreters is kept for all projects of a user (XDG Base Directory Specification)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "shipway" / "interpreters"


def is_script(program: str) -> bool:
    """Whether it is a wrapper, as pyenv's, that decides anew at each start which interpreter to run."""
    with open(program, "rb") as file:
        return file.read(2) == b"#!"


def _stamp(program: str, root: Path) -> tuple[str, ...]:
    """What changes whenever the program may have become another one."""
    try:
        about = os.stat(program)
        stamp = [program, str(about.st_mtime_ns), str(about.st_size)]
        if is_script(program):
            stamp += _choices(root)
        else:
            # Of a virtual environment the program is a link; what it was made from is written beside it.
            stamp += [_mtime(Path(program).parent.parent / "pyvenv.cfg")]
    except OSError as error:
        raise ConfigError([f"the interpreter {program} cannot be read: {error.strerror}"]) from error
    return tuple(stamp)


def _choices(root: Path) -> list[str]:
    """What version managers look at."""
    home = Path.home()
    files = [directory / name for directory in (root, *root.parents) for name in (".python-version", ".tool-versions")]
    files += [Path(os.environ.get("PYENV_ROOT") or home / ".pyenv") / "version", home / ".tool-versions"]
    return [
        os.environ.get("PYENV_VERSION", ""),
        *(f"{file}:{when}" for file in files if (when := _mtime(file))),
    ]


def _mtime(path: Path) -> str:
    try:
        return str(path.stat().st_mtime_ns)
    except OSError:
        return ""


def _probe(program: str, root: Path) -> Interpreter:
    import subprocess  # late: most calls start nothing

    # Jobs do not see PYTHONPATH and the like either.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    try:
        done = subprocess.run([program, "-c", _PROBE], cwd=root, env=environment, capture_output=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BuildError(
            f"the interpreter {program} does not run: {error}", hint="name another with `python:`"
        ) from error
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip()
        raise BuildError(f"the interpreter {program} does not run: {said}", hint="name another with `python:`")
    return msgspec.json.decode(done.stdout, type=Interpreter)


def _changed(paths: tuple[str, ...]) -> tuple[int, ...]:
    return tuple(os.stat(path).st_mtime_ns if os.path.isdir(path) else 0 for path in paths)


def _installed(paths: tuple[str, ...]) -> dict[str, str]:
    found: dict[str, str] = {}
    for path in paths:
        for name in os.listdir(path) if os.path.isdir(path) else ():
            if match := _DISTRIBUTION.match(name):
                found.setdefault(normalised(match["name"]), match["version"])
            elif name.endswith(_LINK):
                found.setdefault(normalised(name[: -len(_LINK)]), "editable")
    return found


def normalised(name: str) -> str:
    """A distribution's name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def digest_of_installed(interpreter: Interpreter, installed: dict[str, str]) -> Digest:
    """
    The digest of an interpreter with all that is installed for it.

    Shipway itself is left out: a stage that doesn't import it gives the same result with the next version.
    """
    packages = sorted((name, version) for name, version in installed.items() if name != "shipway")
    return digest_of(msgspec.json.encode(("interpreter", 1, interpreter.tag, packages)))
