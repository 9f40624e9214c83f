"""
Every error that Shipway raises on purpose.

    ShipwayError
    ├── UsageError               the command line asks for what cannot be
    ├── ConfigError              the user's files are wrong; carries every problem found, each with its place
    ├── InvalidJobError          this backend can never run this job
    ├── UnsupportedError         the adapter lacks the capability that was asked for
    ├── NotFoundError            nothing goes by that name
    ├── ConflictError            someone else changed it first; look again, then decide
    │   └── LeaseLostError       another driver holds the lease now; stop at once
    ├── CorruptError             stored content does not match its digest
    ├── UnsafePathError          a path or link leads out of its tree
    ├── BuildError               an environment or image could not be built
    ├── StageError               a stage did not give its result
    │   ├── StageFailedError     its command failed, was cancelled or ran out of time
    │   ├── OutputMissingError   it ended well but a declared output is not there
    │   └── InputChangedError    it wrote into one of its inputs
    ├── GateError                a condition cannot be judged (a gate that holds is a verdict, not an error)
    ├── RolloutError             a revision did not come up, or could not take over
    │   └── VerificationError    the endpoint answers otherwise than the model did offline
    └── UnavailableError         the far side did not answer; retrying may help (transient)
        └── AuthError            it answered "no"; retrying will not help

A message names the thing and the value in the words that the user typed; `hint` says what to do next.
"""

from collections.abc import Sequence
from typing import ClassVar


class ShipwayError(Exception):
    """Base of all errors; `transient` tells the one retry loop whether trying again can help."""

    transient: ClassVar[bool] = False

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(ShipwayError):
    """The command or call asks for something that cannot be."""


class ConfigError(ShipwayError):
    """The user's files do not say something that we can act on; `problems` holds one line for each fault."""

    def __init__(self, problems: Sequence[str], *, hint: str | None = None) -> None:
        super().__init__("\n".join(problems), hint=hint)
        self.problems = tuple(problems)


class InvalidJobError(ShipwayError):
    """The job asks for something that this backend can never give."""


class UnsupportedError(ShipwayError):
    """The adapter does not declare the capability that was asked for."""


class NotFoundError(ShipwayError):
    """No run, job, model, tree or ref goes by that name."""


class ConflictError(ShipwayError):
    """Someone else changed it between our look and our write."""


class LeaseLostError(ConflictError):
    """Our lease ended or another owner took it; nothing more may be written in its name."""


class CorruptError(ShipwayError):
    """What is stored does not match the digest that names it."""


class UnsafePathError(ShipwayError):
    """A path or link would leave its tree."""


class BuildError(ShipwayError):
    """An environment or image could not be built."""


class StageError(ShipwayError):
    """A stage did not give a result that can be kept."""


class StageFailedError(StageError):
    """The stage's command failed, was cancelled or ran out of time."""


class OutputMissingError(StageError):
    """The stage ended well, but a declared output is not there."""


class InputChangedError(StageError):
    """The stage wrote into one of its inputs, so its result cannot be trusted."""


class GateError(ShipwayError):
    """A gate condition cannot be judged: a metric is missing, or is not a number."""


class RolloutError(ShipwayError):
    """A revision did not come up before its deadline, or could not take over."""


class VerificationError(RolloutError):
    """The endpoint's answers differ from the predictions made offline."""


class UnavailableError(ShipwayError):
    """The far side did not answer, or answered "later"."""

    transient: ClassVar[bool] = True


class AuthError(UnavailableError):
    """The far side answered and refused us."""

    transient: ClassVar[bool] = False
