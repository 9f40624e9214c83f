"""Looking after what Shipway keeps: garbage, damage, and what the tracker has not been told."""

from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta

import msgspec

from shipway.app.opened import Opened
from shipway.pipeline.engine import PINNED
from shipway.pipeline.feed import Feed, Flushed
from shipway.pipeline.place import linked
from shipway.specs.runs import Run, RunState
from shipway.specs.stages import StageResult
from shipway.specs.trees import Digest
from shipway.store.gc import GarbageReport, collect_garbage
from shipway.store.verify import Fault, remove_damaged, verify
from shipway.tracking.local import model_roots


def store_gc(opened: Opened, *, dry_run: bool, grace: timedelta) -> GarbageReport:
    """
    Remove what neither a key nor a ref nor the journal reaches, and nothing younger than `grace`.

    Shared read-only copies go too, unless an output in the project links to one or a job runs that may read one.
    """
    if not dry_run and not any(
        not job.state.terminal for run in _running(opened) for job in opened.journal.jobs(run=run.id)
    ):
        opened.views.sweep(frozenset(linked(opened.root, opened.home)), grace=grace)
    return collect_garbage(opened.store, _roots(opened), dry_run=dry_run, grace=grace)


def _running(opened: Opened) -> Sequence[Run]:
    return opened.journal.list(states=[RunState.RUNNING], limit=100_000)


def store_verify(opened: Opened) -> Iterator[Fault]:
    return verify(opened.store)


def store_repair(opened: Opened, faults: Sequence[Fault]) -> None:
    """Take out what is damaged and the trees that need it: they count as gone, and the next run makes or stores them again."""
    remove_damaged(opened.store, faults)


def flush(opened: Opened, report: Callable[[int, int], None]) -> Flushed:
    """Send everything that the tracker has not been told yet, of all runs."""
    feed = Feed(opened.journal, lambda: opened.tracking[0], opened.store)
    try:
        return feed.flush(report)
    finally:
        feed.close()


def _roots(opened: Opened) -> Iterator[Digest]:
    for key in opened.store.all_keys():
        if (value := opened.store.result(key)) is None:
            continue
        result = msgspec.json.decode(value, type=StageResult)
        yield from result.outputs.values()
        yield from result.parts.inputs.values()
        if result.logs is not None:
            yield result.logs
    yield from (Digest(value) for name, value in opened.store.refs("").items() if not name.startswith("models/"))
    yield from model_roots(opened.store)  # also where MLflow is the registry by now
    yield from _journal_roots(opened)


def _journal_roots(opened: Opened) -> Iterator[Digest]:
    """What runs printed, what those under way will read, and what waits for the tracker."""
    for run in opened.journal.list(limit=1_000_000):
        for event in opened.journal.events(run.id):
            if event.kind == "logs":
                yield Digest(str(event.data["digest"]))
            if event.kind == PINNED and not run.state.terminal:
                yield from msgspec.convert(event.data["trees"], list[Digest])
    for parcel in opened.journal.parcels():
        if "tree" in parcel.data:
            yield Digest(str(parcel.data["tree"]))
