"""Lines of a log that may still grow."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

POLL_SECONDS = 0.2


def lines(path: Path, ended: Callable[[], bool] | None) -> Iterator[bytes]:
    """All whole lines, and a last one without its end; with `ended`, wait for more until it says so."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return
    rest = b""
    with file:
        while True:
            # Asked before reading, so that what was written last is still read.
            last = ended is None or ended()
            for line in file:
                rest += line
                if rest.endswith(b"\n"):
                    yield rest
                    rest = b""
            if last:
                break
            time.sleep(POLL_SECONDS)
    if rest:
        yield rest
