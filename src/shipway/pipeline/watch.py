"""Watches all running jobs with one status call for each backend, however many stages wait."""

import threading
from collections.abc import Callable

from shipway.backends.base import Backend
from shipway.errors import ShipwayError
from shipway.pipeline.retry import Clock
from shipway.specs.jobs import JobHandle, JobState, JobStatus

_FIRST_LOOK = 0.002
_LONGEST_PAUSE = 0.5
_PATIENCE = 600.0
"""Seconds for which a far side may stay silent before its job is given up (it is then still there for `resume`)."""


class _Watched:
    def __init__(self, backend: Backend, now: float) -> None:
        self.backend = backend
        self.since = now
        self.silent_since: float | None = None
        self.answer: JobStatus | Exception | None = None


class Watch:
    """`wait` blocks a stage's thread; a single thread asks for all. It runs only while somebody waits."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._watched: dict[JobHandle, _Watched] = {}
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def wait(self, backend: Backend, handle: JobHandle, give_up: Callable[[], bool]) -> JobStatus | None:
        """
        Return the job's status once it is terminal or NOT_FOUND, or None as soon as `give_up` says so.

        Raises what the far side raised if that is not transient, or if it has been silent for ten minutes.
        """
        with self._changed:
            watched = self._watched.setdefault(handle, _Watched(backend, self._clock.now()))
            if self._thread is None:
                self._thread = threading.Thread(target=self._look, name="watch", daemon=True)
                self._thread.start()
            self._changed.notify_all()
            while watched.answer is None and not give_up():
                self._changed.wait(timeout=0.1)
            self._watched.pop(handle, None)
        if isinstance(watched.answer, Exception):
            raise watched.answer
        return watched.answer

    def _look(self) -> None:
        while True:
            with self._changed:
                if not self._watched:
                    self._thread = None
                    return
                asked = dict(self._watched)
                youngest = self._clock.now() - max(watched.since for watched in asked.values())
                # A job of a second may be noticed 50 ms late, one of an hour half a second: five percent of its age.
                self._changed.wait(timeout=min(_LONGEST_PAUSE, _FIRST_LOOK + youngest / 20))
            for backend in {id(watched.backend): watched.backend for watched in asked.values()}.values():
                self._ask(backend, [handle for handle, watched in asked.items() if watched.backend is backend])

    def _ask(self, backend: Backend, handles: list[JobHandle]) -> None:
        try:
            answered = backend.status(handles)
            answers = {handle: answered[handle] for handle in handles}
        except Exception as error:  # the edge of the thread: who waits raises it
            final = not (isinstance(error, ShipwayError) and error.transient)
            with self._changed:
                for handle in handles:
                    self._silent(handle, error, final=final)
                self._changed.notify_all()
            return
        with self._changed:
            for handle in handles:
                status = answers[handle]
                if status.state is JobState.UNKNOWN:
                    self._silent(handle, ShipwayError(f"the site gives no state for job {handle}"), final=False)
                elif (watched := self._watched.get(handle)) is not None:
                    watched.silent_since = None
                    if status.state.terminal or status.state is JobState.NOT_FOUND:
                        watched.answer = status
            self._changed.notify_all()

    def _silent(self, handle: JobHandle, error: Exception, *, final: bool) -> None:
        if (watched := self._watched.get(handle)) is None:
            return
        now = self._clock.now()
        watched.silent_since = watched.silent_since or now
        if final or now - watched.silent_since > _PATIENCE:
            watched.answer = error
