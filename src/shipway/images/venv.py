"""
Environments of this machine: virtual environments made from requirements files, and the interpreter at hand.

A virtual environment cannot be moved, so it is built where it stays, under a lock, and counts from the moment its mark is written;
one without a mark is what a killed build left, and is built again.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from shipway.images.base import EnvironmentBuilder, Prepared
from shipway.images.interpreter import Interpreters, digest_of_installed, is_script, user_cache
from shipway.images.locks import Locks
from shipway.images.requirements import Requirements, read_requirements
from shipway.images.wanted import Wanted
from shipway.specs.stages import Environment
from shipway.specs.trees import Digest
from shipway.store.base import Store
from shipway.store.durable import locked

if TYPE_CHECKING:
    from shipway.images.installers import Installer, Run

_MARK = ".shipway-complete"


class AtHand(msgspec.Struct, frozen=True, kw_only=True):
    """An interpreter that is used as it is."""

    program: str
    digest: Digest


class VenvBuilder(EnvironmentBuilder):
    """
    `home` keeps virtual environments and copies of locks; relative paths are relative to `root`.

    `installer` None: uv if there is one, else pip. `limit` is how long each command of a build may take.
    """

    def __init__(
        self,
        root: Path,
        home: Path,
        store: Store,
        *,
        installer: Installer | None = None,
        limit: timedelta = timedelta(minutes=30),
    ) -> None:
        self._root = root.absolute()
        self._home = home.absolute()
        self._interpreters = Interpreters(self._root, user_cache())
        self._locks = Locks(self._home / "locks", store)
        self._installer = installer
        self._limit = limit

    def digest(self, environment: Environment, also: Sequence[str] = ()) -> Digest | None:
        wanted = self._wanted(environment, also)
        if isinstance(wanted, AtHand):
            return wanted.digest
        if wanted.requirements.locked:
            return wanted.digest(wanted.requirements.lines)
        pins = self._locks.find(wanted.question)
        return None if pins is None else wanted.digest(pins)

    def resolve(self, environment: Environment, also: Sequence[str] = ()) -> Digest:
        wanted = self._wanted(environment, also)
        return wanted.digest if isinstance(wanted, AtHand) else wanted.digest(self._pins(wanted))

    def ready(self, environment: Environment) -> bool:
        digest = self.digest(environment)
        return environment.requirements is None or (digest is not None and _complete(self._home / "venvs" / digest))

    def build(self, environment: Environment, also: Sequence[str] = ()) -> Prepared:
        wanted = self._wanted(environment, also)
        if isinstance(wanted, AtHand):
            return self._as_it_is(wanted.program)
        pins = self._pins(wanted)
        digest = wanted.digest(pins)
        place = self._home / "venvs" / digest
        if not _complete(place):
            with locked(f"{place}.lock", exclusive=True):
                if not _complete(place):  # nobody made it while we waited
                    self._make(wanted, pins, place)
        return _prepared(place / "bin" / "python", place)

    # What is asked for

    def _wanted(self, environment: Environment, also: Sequence[str]) -> AtHand | Wanted:
        if environment.requirements is None:
            return self._on_top(environment, also)
        program = self._interpreters.named(environment.python)
        return Wanted(
            source=environment.requirements,
            program=program,
            interpreter=self._interpreters.describe(program),
            requirements=read_requirements(self._root / environment.requirements).with_lines(also),
        )

    def _on_top(self, environment: Environment, also: Sequence[str]) -> AtHand | Wanted:
        """The interpreter at hand, and on top of it what it lacks of `also`."""
        named = environment.python
        program = self._interpreters.at_hand() if named is None else self._interpreters.named(named)
        interpreter, installed = self._interpreters.installed(program)
        digest = digest_of_installed(interpreter, installed)
        if not also or _satisfied(also, interpreter.paths):
            return AtHand(program=program, digest=digest)
        return Wanted(
            source=", ".join(also),
            program=interpreter.executable,
            interpreter=interpreter,
            requirements=Requirements(lines=tuple(also)),
            base=digest,
            installed={name: version for name, version in installed.items() if version[0].isdigit()},
        )

    def _as_it_is(self, program: str) -> Prepared:
        interpreter = self._interpreters.describe(program)
        # A wrapper might choose another interpreter in the job's directory.
        if self._interpreters.on_path(program) and not is_script(program):
            return Prepared(python=interpreter.executable)
        return _prepared(Path(interpreter.executable), Path(interpreter.prefix) if interpreter.prefix else None)

    # Pins

    def _pins(self, wanted: Wanted) -> tuple[str, ...]:
        if wanted.requirements.locked:
            return wanted.requirements.lines
        return self._locks.find_or_make(wanted.question, lambda: self._resolve(wanted))

    def _resolve(self, wanted: Wanted) -> list[str]:
        from tempfile import TemporaryDirectory

        self._home.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix="resolve-", dir=self._home) as scratch:  # 0700: options may hold credentials
            asked, bounds = Path(scratch, "requirements.in"), Path(scratch, "constraints.txt")
            asked.write_text(wanted.requirements.text())
            bounds.write_text("".join(f"{line}\n" for line in wanted.bounds()))
            run = self._runner(wanted, self._home / "locks" / f"{wanted.question}.log")
            return self._tool().pins(wanted.program, asked, bounds if wanted.bounds() else None, run)

    # Virtual environments

    def _make(self, wanted: Wanted, pins: Sequence[str], place: Path) -> None:
        from shutil import rmtree

        if place.exists():
            rmtree(place)
        log = place.with_name(f"{place.name}.log")
        log.unlink(missing_ok=True)
        run, tool = self._runner(wanted, log), self._tool()
        tool.create(wanted.program, place, run)
        if wanted.base is not None:
            _see(wanted.interpreter.paths, place)
        listed = msgspec.structs.replace(wanted.requirements, lines=wanted.missing(pins))
        if listed.lines:
            file = place / "requirements.txt"
            _write_private(file, listed.text())
            tool.install(place, file, needs=wanted.requirements.locked, run=run)
            file.unlink()  # its options may hold credentials
        (place / _MARK).write_text(f"{place}\n" + "".join(f"{pin}\n" for pin in pins))

    def _runner(self, wanted: Wanted, log: Path) -> Run:
        from shipway.images.command import Command, run
        from shipway.images.installers import installer_environment

        environment = installer_environment(os.environ)

        def runner(what: str, argv: Sequence[str]) -> None:
            what = f"{what} of the environment {wanted.source}"
            run(Command(what=what, argv=argv, cwd=self._root, log=log, env=environment, limit=self._limit))

        return runner

    def _tool(self) -> Installer:
        from shipway.images.installers import find_installer

        return self._installer or find_installer()


def _satisfied(also: Sequence[str], paths: Sequence[str]) -> bool:
    from shipway.images.satisfied import satisfied  # late: it loads importlib.metadata

    return satisfied(also, paths)


def _complete(place: Path) -> bool:
    """Whether it was built to the end, here, and its base interpreter is still there."""
    try:
        with open(place / _MARK, encoding="utf-8") as mark:
            here = mark.readline().rstrip("\n") == str(place)
    except FileNotFoundError:
        return False
    return here and os.access(place / "bin" / "python", os.X_OK)


def _prepared(python: Path, prefix: Path | None) -> Prepared:
    outer = os.environ.get("PATH") or os.defpath
    env = {"PATH": f"{python.parent}{os.pathsep}{outer}"}
    return Prepared(python=str(python), env=env if prefix is None else {"VIRTUAL_ENV": str(prefix), **env})


def _see(paths: Sequence[str], place: Path) -> None:
    """Let a virtual environment import what lies in the directories of the interpreter that it is on top of."""
    packages = [path for path in paths if not os.path.exists(f"{path}/os.py") and not path.endswith("lib-dynload")]
    for site in place.glob("lib/python*/site-packages"):
        (site / "shipway-at-hand.pth").write_text("".join(f"{path}\n" for path in packages))


def _write_private(path: Path, text: str) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
