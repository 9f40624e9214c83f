"""Refs as files in one flat directory, moved by compare-and-swap under one lock."""

import os
from collections.abc import Mapping

from shipway.errors import ConflictError, UsageError
from shipway.store.durable import locked, sync_directory, write_whole
from shipway.store.trees import check_path

_LONGEST = 250


class RefFiles:
    """Flat, so that `a` and `a/b` can both be refs."""

    def __init__(self, directory: str, lock: str, tmp: str) -> None:
        self._directory = directory
        self._lock = lock
        self._tmp = tmp

    def get(self, name: str) -> str | None:
        return self._read(_file_name(name))

    def below(self, prefix: str) -> Mapping[str, str]:
        try:
            names = sorted(map(_ref_name, os.listdir(self._directory)))
        except FileNotFoundError:
            return {}
        read = {name: self._read(_file_name(name)) for name in names if name.startswith(prefix)}
        return {name: value for name, value in read.items() if value is not None}

    def move(self, name: str, old: str | None, new: str | None) -> None:
        file = _file_name(name)
        with locked(self._lock, exclusive=True):
            now = self._read(file)
            if now != old:
                raise ConflictError(f"ref {name!r} is {_said(now)}, not {_said(old)}", hint="look again, then decide")
            if new is not None:
                write_whole(f"{self._directory}/{file}", new.encode(), self._tmp)
            elif old is not None:
                os.unlink(f"{self._directory}/{file}")
                sync_directory(self._directory)

    def _read(self, file: str) -> str | None:
        try:
            with open(f"{self._directory}/{file}", encoding="utf-8", newline="") as opened:
                return opened.read()
        except FileNotFoundError:
            return None


def _file_name(name: str) -> str:
    file = check_path(name).replace("%", "%25").replace("/", "%2F")
    if len(file.encode()) > _LONGEST:
        raise UsageError(f"ref {name!r} is longer than {_LONGEST} bytes", hint="use a shorter name")
    return file


def _ref_name(file: str) -> str:
    return file.replace("%2F", "/").replace("%25", "%")


def _said(value: str | None) -> str:
    return "not there" if value is None else repr(value)
