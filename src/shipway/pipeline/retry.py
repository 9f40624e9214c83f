"""The one place where anything is tried again: by an error's `transient`, with growing pauses, up to a deadline."""

import threading
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from shipway.errors import ShipwayError

T = TypeVar("T")


class Clock(NamedTuple):
    """Time as the engine sees it; tests give their own. `now` is in seconds since the epoch, `sleep` takes seconds."""

    now: Callable[[], float]
    sleep: Callable[[float], object]


def retrying(
    call: Callable[[], T], clock: Clock, *, stop: threading.Event, patience: float = 300.0, first_pause: float = 0.5
) -> T:
    """Call until it returns; a transient error is retried for `patience` seconds or until `stop` is set, then raised as it is."""
    deadline = clock.now() + patience
    pause = first_pause
    while True:
        try:
            return call()
        except ShipwayError as error:
            if not error.transient or clock.now() + pause > deadline or stop.wait(pause):
                raise
        pause = min(pause * 2, 30.0)
