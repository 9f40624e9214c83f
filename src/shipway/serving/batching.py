"""
Adaptive batches: requests that are there at the same time go through the model in one call, and each gets its own rows back.

Rule: nobody waits for company. An idle model starts with what this turn of the event loop has read from the sockets; while it works,
requests queue, and what has queued makes the next batch.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Set
from time import perf_counter

import numpy as np

from shipway.serving.model import Model
from shipway.serving.settings import Batch
from shipway.serving.tensors import Array
from shipway.serving.worker import Worker

Outputs = Mapping[str, Array]
Done = Callable[[Outputs | Exception], None]

INLINE_SECONDS = 0.002
"""A call that takes less runs on the event loop's own thread: handing it to another and back costs as much as a small model does."""


class Job:
    """One request on its way through the model; `done` is called once, on the event loop, with its outputs or its error."""

    __slots__ = ("done", "inputs", "rows", "shape", "wanted")

    def __init__(self, inputs: Mapping[str, Array], wanted: Set[str], done: Done) -> None:
        self.inputs = inputs
        self.wanted = wanted
        self.done = done
        self.rows = next(iter(inputs.values())).shape[0]
        self.shape = tuple((name, array.dtype, array.shape[1:]) for name, array in inputs.items())
        """Jobs of the same shape can be stacked; the inputs' order is the model's, so it cannot differ."""


class Batcher:
    """Owns the model: one call at a time, on the event loop where calls are short, else on one worker thread."""

    def __init__(self, model: Model, batch: Batch, observe: Callable[[int], None] = lambda rows: None) -> None:
        self._model = model
        self._batch = batch
        self._observe = observe
        self._most = batch.max_rows if model.batchable else 1
        self._queue: deque[Job] = deque()
        self._busy = False
        self._loop = asyncio.get_running_loop()
        self._worker = Worker()
        self._cost = Cost()

    def submit(self, job: Job) -> None:
        self._queue.append(job)
        if not self._busy:
            self._busy = True
            self._wake()

    def _wake(self) -> None:
        if self._batch.max_wait_ms and self._most > 1:
            self._loop.call_later(self._batch.max_wait_ms / 1000, self._start)
        else:
            self._loop.call_soon(self._start)

    def _start(self) -> None:
        jobs = self._take()
        if self._cost.predict(sum(job.rows for job in jobs)) < INLINE_SECONDS:
            self._finish(jobs, self._answer(jobs))
        else:
            self._worker.run(lambda: self._answer(jobs), lambda answers: self._finish(jobs, answers))

    def _finish(self, jobs: list[Job], answers: list[Outputs | Exception]) -> None:
        if self._queue:
            self._loop.call_soon(self._start)
        else:
            self._busy = False
        for job, answer in zip(jobs, answers, strict=True):
            job.done(answer)

    def _take(self) -> list[Job]:
        """The oldest job and those that can be stacked on it, up to the limit; the others keep their order."""
        queue = self._queue
        first = queue.popleft()
        jobs, rows, left = [first], first.rows, []
        while queue and rows < self._most:
            job = queue.popleft()
            if job.shape == first.shape and rows + job.rows <= self._most:
                jobs.append(job)
                rows += job.rows
            else:
                left.append(job)
        queue.extendleft(reversed(left))
        return jobs

    def _answer(self, jobs: list[Job]) -> list[Outputs | Exception]:
        started = perf_counter()
        rows = sum(job.rows for job in jobs)
        answers = self._together(jobs, rows) if len(jobs) > 1 else None
        if answers is None:
            answers = [self._alone(job) for job in jobs]
        self._cost.learn(perf_counter() - started, rows)
        self._observe(rows)
        return answers

    def _together(self, jobs: list[Job], rows: int) -> list[Outputs | Exception] | None:
        """One call for all, or None where that cannot tell whose fault it is: then each must be asked alone."""
        try:
            inputs = {name: np.concatenate([job.inputs[name] for job in jobs]) for name in jobs[0].inputs}
            outputs = self._model.predict(inputs, frozenset().union(*(job.wanted for job in jobs)))
            by_rows = all(array.shape[:1] == (rows,) for array in outputs.values())
            if by_rows:
                return _split(outputs, jobs)
        except Exception:  # one bad request must not fail its neighbours; alone, it gets its own error
            return None
        self._most = 1  # its outputs don't go by rows, so it must never see two requests at once
        return None

    def _alone(self, job: Job) -> Outputs | Exception:
        try:
            outputs = self._model.predict(job.inputs, job.wanted)
            return {name: outputs[name] for name in job.wanted}
        except Exception as error:
            return error


def _split(outputs: Outputs, jobs: list[Job]) -> list[Outputs | Exception]:
    answers: list[Outputs | Exception] = []
    start = 0
    for job in jobs:
        end = start + job.rows
        answers.append({name: outputs[name][start:end] for name in job.wanted})
        start = end
    return answers


class Cost:
    """What a call is likely to take, from those before it: no less than the usual call, and no less than its rows usually take."""

    def __init__(self) -> None:
        self._call: float | None = None
        self._row = 0.0

    def predict(self, rows: int) -> float:
        """Seconds; a model that was never called is not trusted to be quick."""
        return INLINE_SECONDS if self._call is None else max(self._call, self._row * rows)

    def learn(self, seconds: float, rows: int) -> None:
        row = seconds / max(rows, 1)
        if self._call is None:
            self._call, self._row = seconds, row
        self._call += (seconds - self._call) / 8
        self._row += (row - self._row) / 8
