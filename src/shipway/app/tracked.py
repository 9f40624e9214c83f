"""Tells the tracker what a run does: posts to the journal's outbox, and lets the feed send while jobs run."""

import os
import time
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING

from shipway.app.opened import Opened
from shipway.pipeline.session import Session
from shipway.specs.models import Triple
from shipway.specs.runs import Event, RunState
from shipway.specs.stages import Stage, StageResult

if TYPE_CHECKING:
    from shipway.pipeline.feed import Feed

_LAST_CALL = 60.0
"""Seconds that the end of a run waits for the tracker; what is left stays in the journal."""


class Tracked:
    """One run's tracking. Not `active` (tracking off, or nothing to compute): every verb does nothing and imports nothing."""

    def __init__(self, opened: Opened, session: Session, *, active: bool) -> None:
        self._opened = opened
        self._session = session
        self._active = active

    @cached_property
    def _feed(self) -> "Feed":
        from shipway.pipeline.feed import Feed

        opened, note = self._opened, self._session.note
        return Feed(
            opened.journal,
            lambda: opened.tracking[0],
            opened.store,
            note=lambda run, kind, data: note(kind, **data),
        )

    @property
    def id(self) -> str | None:
        """The tracker's own id of this run, begun now if need be; None if there is no tracking or it cannot be reached."""
        return self._feed.ensure_started(self._session.run.id) if self._active else None

    def begin(self, code: str) -> None:
        if self._active:
            from shipway.pipeline.parcels import post_start

            # Made here, before stages' threads could each make one.
            _ = self._feed, self._opened.tracking
            run = self._session.run
            tags = {"shipway.run": run.id, "shipway.code": code, "mlflow.source.git.commit": code.partition("+")[0]}
            post_start(self._opened.journal, self._session.lease, name=run.id, tags=tags, at=run.created)

    def saw(self, event: Event) -> None:
        """A job runs: now there is time to import a tracker."""
        if self._active and event.kind == "job":
            self._feed.watch(event.run)

    def environment(self, session: Session, stage: Stage) -> Mapping[str, str]:
        """Variables for a stage's own logging; its run id only where its code asks for it, since that has to wait for the tracker."""
        return self._feed.environment(session.run.id, needs_id=True) if self._asks(stage) else {}

    def _asks(self, stage: Stage) -> bool:
        if not self._active or stage.tracked is not None:
            return self._active and bool(stage.tracked)
        return self._opened.planner.inputs.mention(stage, b"mlflow")

    def result(self, name: str, result: StageResult) -> None:
        """Post a stage's parameters, metrics and plots."""
        if not self._active:
            return
        from shipway.pipeline.metrics import load_metrics
        from shipway.pipeline.parcels import post_artifact, post_metrics, post_params

        # By the name here: where stages were renamed, the result was made under another one.
        journal, lease, stage = self._opened.journal, self._session.lease, self._opened.project.stage(name)
        post_params(journal, lease, result.parts.params, once=f"params/{name}")
        found = load_metrics(
            self._opened.store, {path: result.outputs[path] for path in stage.metrics}, at=result.ended
        )
        post_metrics(journal, lease, found.tracked(result.ended, prefix=self._prefix(stage)), once=f"metrics/{name}")
        for path in stage.plots:
            post_artifact(journal, lease, result.outputs[path], path)

    def _prefix(self, stage: Stage) -> str:
        """Where several stages write metrics, those of all but the judging one get the stage's name, so that two `accuracy` stay two."""
        measuring = [other.name for other in self._opened.project.stages if other.metrics]
        model = self._opened.project.model
        judge = model.evaluate if model is not None else None
        return "" if len(measuring) == 1 or stage.name == judge else f"{stage.name}."

    def secrets(self, stage: Stage) -> Mapping[str, str]:
        """Values by which a stage that logs by itself signs on to the tracking server."""
        if not self._asks(stage):
            return {}
        return {name: os.environ[name] for name in self._opened.tracking[0].secrets if name in os.environ}

    def triple(self, triple: Triple) -> None:
        if self._active:
            from shipway.pipeline.parcels import post_tags

            tags = {"shipway.data": triple.data, "shipway.environment": triple.environment}
            post_tags(self._opened.journal, self._session.lease, tags, once="tags/triple")

    def end(self, state: RunState) -> None:
        """Send what can be sent now; the rest is kept for `shipway track --flush`."""
        if not self._active:
            return
        from shipway.pipeline.parcels import post_finish

        post_finish(self._opened.journal, self._session.lease, state, at=time.time())
        self._feed.watch(self._session.run.id)
        left = self._feed.drain(_LAST_CALL)
        self._feed.close()
        if left:
            self._session.note("tracking left", parcels=left)
