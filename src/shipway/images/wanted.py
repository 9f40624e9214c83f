"""What a virtual environment is asked to be, and the digests that follow from it; pure."""

from collections.abc import Mapping, Sequence

import msgspec

from shipway.images.interpreter import Interpreter, normalised
from shipway.images.masking import masked
from shipway.images.requirements import Requirements
from shipway.specs.trees import Digest, digest_of


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """
    `source` is what the user calls it. `program` is the interpreter's path, `interpreter` what it is.

    With `base` it lies on top of an interpreter at hand, whose digest that is and whose distributions are `installed`: these are
    seen from inside, so they are not installed again.
    """

    source: str
    program: str
    interpreter: Interpreter
    requirements: Requirements
    base: Digest | None = None
    installed: Mapping[str, str] = {}

    @property
    def question(self) -> Digest:
        """Names the lock: the same question has one answer for all who share a store. Credentials do not change it."""
        asked = self.requirements
        options = [masked(option) for option in asked.written]
        parts = (asked.lines, asked.constraints, options, self.interpreter.lock_tag, sorted(self.installed.items()))
        return digest_of(msgspec.json.encode(("lock", 1, *parts)))

    def digest(self, pins: Sequence[str]) -> Digest:
        """Of the environment that these pins make."""
        options = [masked(option) for option in self.requirements.written]
        return digest_of(msgspec.json.encode(("venv", 1, pins, options, self.interpreter.tag, self.base)))

    def bounds(self) -> tuple[str, ...]:
        """The constraints to resolve under: the user's own; on top of an interpreter, the versions that are there."""
        return self.requirements.constraints + tuple(
            f"{name}=={version}" for name, version in sorted(self.installed.items())
        )

    def missing(self, pins: Sequence[str]) -> tuple[str, ...]:
        """The pins that have to be installed."""
        return tuple(pin for pin in pins if normalised(pin.split("==")[0].split("[")[0].strip()) not in self.installed)
