"""The port to whatever prepares what a stage runs in."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import msgspec

from shipway.specs.stages import Environment
from shipway.specs.trees import Digest


class Prepared(msgspec.Struct, frozen=True, kw_only=True):
    """An environment that is ready: its interpreter's path, and what a job's variables need so that `python` is that one."""

    python: str
    env: Mapping[str, str] = {}


class EnvironmentBuilder(ABC):
    """
    Safe for many processes at once; every verb may be repeated.

    `also` are requirement lines that are wanted besides the environment's own (`uvicorn>=0.30`); with them it is another environment,
    with a digest of its own. Every verb raises ConfigError where what the user wrote cannot be an environment.
    """

    @abstractmethod
    def digest(self, environment: Environment, also: Sequence[str] = ()) -> Digest | None:
        """
        The digest that goes into stage keys; None while `resolve` has to find out what the requirements come to.

        Meant for planning: reads and builds nothing that is not here, and starts a process only for an interpreter that it has not seen.
        """

    @abstractmethod
    def resolve(self, environment: Environment, also: Sequence[str] = ()) -> Digest:
        """The same, pinning open requirements first; what they come to then stands for all who share the store. Raises BuildError."""

    @abstractmethod
    def ready(self, environment: Environment) -> bool:
        """Whether `resolve` and `build` would return at once, since all is here."""

    @abstractmethod
    def build(self, environment: Environment, also: Sequence[str] = ()) -> Prepared:
        """Make the environment unless it is here. Two that build the same at once build it once. Raises BuildError."""
