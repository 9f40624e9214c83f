"""Parcels: what the tracker has to be told, put into the journal by the engine and handed to the tracker later, in order."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from shipway.errors import NotFoundError, ShipwayError, UsageError
from shipway.journal.base import Journal
from shipway.specs.runs import Lease, Parcel, RunState
from shipway.specs.stages import JsonValue
from shipway.specs.trees import Digest
from shipway.store.base import Store
from shipway.tracking.base import TrackedMetric, Tracker

START, PARAMS, METRICS, TAGS, ARTIFACT, FINISH = "start", "params", "metrics", "tags", "artifact", "finish"

Drop = Callable[[str], None]
"""Told why something will never reach the tracker."""


def post_start(journal: Journal, lease: Lease, *, name: str, tags: Mapping[str, str], at: float) -> None:
    """The run has begun; the first parcel of a run."""
    journal.post(lease, START, {"name": name, "tags": dict(tags), "at": at}, once=START)


def post_params(journal: Journal, lease: Lease, params: Mapping[str, JsonValue], *, once: str = PARAMS) -> None:
    """Parameters, each value under its dotted key; text as it is, anything else as JSON."""
    if params:
        import msgspec

        texts = {
            name: value if isinstance(value, str) else msgspec.json.encode(value).decode()
            for name, value in _flat(params)
        }
        journal.post(lease, PARAMS, dict(texts), once=once)


def _flat(params: Mapping[str, JsonValue], prefix: str = "") -> Iterator[tuple[str, JsonValue]]:
    for name, value in params.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def post_metrics(journal: Journal, lease: Lease, metrics: Sequence[TrackedMetric], *, once: str) -> None:
    """Metrics of one stage (`once`: `metrics/<stage>`); the values go as text where JSON has none."""
    if metrics:
        rows: list[JsonValue] = [
            [m.name, m.value if math.isfinite(m.value) else str(m.value), m.at, m.step] for m in metrics
        ]
        journal.post(lease, METRICS, {"rows": rows}, once=once)


def post_tags(journal: Journal, lease: Lease, tags: Mapping[str, str], *, once: str) -> None:
    if tags:
        journal.post(lease, TAGS, dict(tags), once=once)


def post_artifact(journal: Journal, lease: Lease, tree: Digest, path: str) -> None:
    """A tree of the store, to be found at `path` among the run's artifacts."""
    journal.post(lease, ARTIFACT, {"tree": tree, "path": path}, once=f"{ARTIFACT}/{path}")


def post_finish(journal: Journal, lease: Lease, state: RunState, *, at: float) -> None:
    """The run has ended; the first end stands."""
    journal.post(lease, FINISH, {"state": state.value, "at": at}, once=FINISH)


def hand_over(tracker: Tracker, store: Store, tracked: str, parcel: Parcel, drop: Drop) -> None:
    """
    Tell the tracker what one parcel (of any kind but START) says.

    Raises UnavailableError, and NotFoundError if the tracker has no such run; what it refuses for good is dropped and the rest sent.
    """
    data: Mapping[str, Any] = parcel.data
    match parcel.kind:
        case "params":
            _each(list(data.items()), lambda some: tracker.log(tracked, params=dict(some)), drop)
        case "tags":
            _each(list(data.items()), lambda some: tracker.log(tracked, tags=dict(some)), drop)
        case "metrics":
            _each(list(_by_name(data["rows"]).items()), lambda some: _log_metrics(tracker, tracked, some), drop)
        case "artifact":
            _save(tracker, store, tracked, parcel, drop)
        case "finish":
            tracker.finish(tracked, RunState(data["state"]), at=data["at"])
        case other:
            drop(f"a parcel of kind {other!r}: a newer Shipway wrote it")


def _each(items: Sequence[Any], log: Callable[[Sequence[Any]], None], drop: Drop) -> None:
    """Log all in one go; where the tracker refuses, halve, so that only the ones it cannot take are lost."""
    if not items:
        return
    try:
        log(items)
    except UsageError as error:
        if len(items) == 1:
            drop(error.message)
            return
        middle = len(items) // 2
        _each(items[:middle], log, drop)
        _each(items[middle:], log, drop)


def _by_name(rows: Sequence[Sequence[Any]]) -> dict[str, list[TrackedMetric]]:
    named: dict[str, list[TrackedMetric]] = {}
    for name, value, at, step in rows:
        named.setdefault(name, []).append(TrackedMetric(name=name, value=float(value), at=at, step=step))
    return named


def _log_metrics(tracker: Tracker, tracked: str, named: Sequence[tuple[str, list[TrackedMetric]]]) -> None:
    tracker.log(tracked, metrics=[metric for _, metrics in named for metric in metrics])


def _save(tracker: Tracker, store: Store, tracked: str, parcel: Parcel, drop: Drop) -> None:
    import tempfile  # posting, which the engine waits for, does without

    path = str(parcel.data["path"])
    with tempfile.TemporaryDirectory(prefix="shipway-artifact-") as place:
        source = Path(place) / (PurePosixPath(path).name or "artifact")
        try:
            store.checkout(Digest(str(parcel.data["tree"])), source)
        except ShipwayError as error:
            if error.transient:
                raise
            drop(f"artifact {path}: {error.message}")
            return
        try:
            tracker.save(tracked, source, path)
        except UsageError as error:
            drop(error.message)
        except NotFoundError:
            if not source.exists():  # an empty tree; anything else is the tracker's run that is missing
                drop(f"artifact {path}: it is empty")
                return
            raise
