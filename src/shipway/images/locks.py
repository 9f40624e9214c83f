"""
Locks: what open requirements came to, remembered by what was asked.

The first resolution stands for everyone who shares the store: the lock is an object there, named by the ref `locks/<digest of the
question>`; a copy lies at home, so that planning asks no far store.
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from shipway.errors import ConflictError
from shipway.specs.trees import Digest
from shipway.store.base import Store

REF_PREFIX = "locks/"


class Locks:
    """The locks of a store, with copies at `home`."""

    def __init__(self, home: Path, store: Store) -> None:
        self._home = home
        self._store = store

    def find(self, question: Digest) -> tuple[str, ...] | None:
        """The pins, one a line, or None."""
        copy = self._copy(question)
        try:
            return tuple(copy.read_text().splitlines())
        except FileNotFoundError:
            pass
        named = self._store.ref(REF_PREFIX + question)
        if named is None:
            return None
        with self._store.open(Digest(named)) as file:
            return self._keep(question, file.read().decode())

    def find_or_make(self, question: Digest, resolve: Callable[[], Sequence[str]]) -> tuple[str, ...]:
        """The pins; resolved now if nobody has done it before."""
        found = self.find(question)
        if found is not None:
            return found
        text = "".join(f"{line}\n" for line in resolve())
        digest = self._store.put_bytes(text.encode())
        try:
            self._store.move_ref(REF_PREFIX + question, None, digest)
        except ConflictError:  # somebody else resolved it meanwhile, and theirs stands
            found = self.find(question)
            if found is None:
                raise
            return found
        return self._keep(question, text)

    def _keep(self, question: Digest, text: str) -> tuple[str, ...]:
        copy = self._copy(question)
        copy.parent.mkdir(parents=True, exist_ok=True)
        fresh = copy.with_suffix(f".{os.getpid()}-{os.urandom(4).hex()}")
        fresh.write_text(text)
        fresh.replace(copy)
        return tuple(text.splitlines())

    def _copy(self, question: Digest) -> Path:
        return self._home / f"{question}.txt"
