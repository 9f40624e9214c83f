"""One thread for model calls that would hold the event loop up: health and metrics answer while it works."""

import asyncio
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")


class Worker:
    """A daemon, so that a model that hangs can't keep the process from ending."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._tasks: SimpleQueue[tuple[Callable[[], Any], Callable[[Any], None]]] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def run(self, task: Callable[[], T], done: Callable[[T], None]) -> None:
        """Run `task`, which must not raise, on the thread, and hand its result to `done` on the event loop."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="model", daemon=True)
            self._thread.start()
        self._tasks.put((task, done))

    def _work(self) -> None:
        while True:
            task, done = self._tasks.get()
            result = task()
            try:
                self._loop.call_soon_threadsafe(done, result)
            except RuntimeError:  # the loop has closed: nobody waits any more
                return
