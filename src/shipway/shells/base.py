"""The port to whatever can run an argv (idea 3)."""

from collections.abc import Iterator, Sequence
from typing import IO, Protocol

import msgspec


class Completed(msgspec.Struct, frozen=True, kw_only=True):
    """What a finished command left. `code` is the exit code, or minus the signal that ended it."""

    code: int
    stdout: bytes
    stderr: bytes


class Shell(Protocol):
    """Runs argv verbatim, never through a command line that would have to be quoted."""

    def run(self, argv: Sequence[str], *, stdin: bytes = b"", timeout: float = 30.0) -> Completed:
        """
        Run to the end and return both streams; a non-zero code is not an error.

        `timeout` is in seconds. Raises UnavailableError where the far side does not answer or the time is over (the
        command is then ended), NotFoundError where there is no such program.
        """

    def stream(self, argv: Sequence[str], *, stdin: IO[bytes] | None = None) -> Iterator[bytes]:
        """
        Yield stdout as it comes, in pieces of any size; closing the iterator ends the command.

        Raises UnavailableError at the end if the command failed, with the last of its stderr.
        """
