"""
What a process endpoint keeps on disk: its revisions, which one serves, and why some failed. No secret is ever part of it.

    state.json                     {"serving": name or null, "reasons": {name: why it failed}}
    revisions/NAME/release.json    {"release": as applied, secrets by name only; "launch": how to start it; "created": seconds}
    revisions/NAME/log             its output
    bundles/DIGEST/                what the revisions serve (put there by `shipway.delivery.pack`)
    control.sock, keeper.lock, keeper.log
"""

import json
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple


class Launch(NamedTuple):
    """How to start a revision: all but the secrets' values. `startup` and `drain` are seconds; `argv` lacks the sockets' numbers."""

    argv: list[str]
    env: dict[str, str]
    secrets: list[str]
    host: str
    port: int
    startup: float
    drain: float


class Record(NamedTuple):
    """One revision on disk. `release` is opaque here: the keeper only stores it and hands it back."""

    release: dict[str, Any]
    launch: Launch
    created: float


class Kept:
    """The directory of one endpoint."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def log(self, revision: str) -> Path:
        return self.home / "revisions" / revision / "log"

    def records(self) -> dict[str, Record]:
        """All revisions that can be read, by name, oldest first."""
        found = {}
        for path in self.home.glob("revisions/*/release.json"):
            if (record := read_record(path)) is not None:
                found[path.parent.name] = record
        return dict(sorted(found.items(), key=lambda item: item[1].created))

    def save(self, revision: str, record: Record) -> None:
        path = self.home / "revisions" / revision / "release.json"
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_json(path, {**record._asdict(), "launch": record.launch._asdict()})

    def forget(self, revision: str) -> None:
        """Drop a revision, and its bundle where that is ours and no other revision's."""
        path = self.home / "revisions" / revision
        record = read_record(path / "release.json")
        shutil.rmtree(path, ignore_errors=True)
        if record is None or (bundle := _bundle(record)) is None:
            return
        others = {_bundle(other) for other in self.records().values()}
        if bundle not in others and bundle.parent == self.home / "bundles":
            shutil.rmtree(bundle, ignore_errors=True)

    def state(self) -> tuple[str | None, dict[str, str]]:
        """The name of the revision that holds the public address, and the reasons of those that failed."""
        state = read_json(self.home / "state.json") or {}
        return state.get("serving"), dict(state.get("reasons", {}))

    def save_state(self, serving: str | None, reasons: Mapping[str, str]) -> None:
        write_json(self.home / "state.json", {"serving": serving, "reasons": dict(reasons)})


def choices(names: Iterable[str]) -> str:
    """A hint for whoever asked for one that is not there."""
    known = ", ".join(names)
    return f"revisions are: {known}" if known else "there is none yet: `shipway ship` rolls a model out"


def _bundle(record: Record) -> Path | None:
    bundle = record.release.get("bundle")
    return Path(bundle) if bundle else None


def read_record(path: Path) -> Record | None:
    """None where the file is missing or not ours: a revision that can't be read can't be started, and must not stop the others."""
    raw = read_json(path)
    try:
        return None if raw is None else Record(raw["release"], Launch(**raw["launch"]), float(raw["created"]))
    except (KeyError, TypeError, ValueError):
        return None


def read_json(path: Path) -> dict[str, Any] | None:
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Whole or not at all, also through a power cut."""
    temp = path.with_name(f".{path.name}.{os.getpid()}")
    with open(temp, "w", opener=_private) as file:
        json.dump(value, file)
        file.flush()
        os.fsync(file.fileno())
    temp.replace(path)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
