"""The feed, over a real journal and a real store, to a tracker in memory that can be told to fail."""

import math
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shipway.errors import UnavailableError
from shipway.journal.base import Journal
from shipway.journal.sql import open_journal
from shipway.pipeline.feed import AWAY, DROPPED, TRACKED, Feed
from shipway.pipeline.parcels import (
    post_artifact,
    post_finish,
    post_metrics,
    post_params,
    post_start,
    post_tags,
)
from shipway.specs.runs import Lease, Run, RunState
from shipway.specs.trees import ROOT, Entry, Tree, digest_of
from shipway.store.directory import DirectoryStore
from shipway.tracking.base import TrackedMetric
from shipway.tracking.memory import MemoryTracker, TrackedRun

LONG = timedelta(hours=1)
SOON = 30.0
"""Seconds that a healthy feed never needs."""


class Moody(MemoryTracker):
    """Fails as long as `moods` says so; remembers the calls that got through."""

    def __init__(self, runs: dict[str, TrackedRun] | None = None) -> None:
        super().__init__(runs)
        self.away = False
        self.moods: list[bool] = []
        self.calls: list[str] = []
        self.asked = 0
        self.bug: Exception | None = None

    def _enter(self, verb: str) -> None:
        self.asked += 1
        if self.bug is not None:
            raise self.bug
        if self.away or (self.moods and self.moods.pop(0)):
            raise UnavailableError("the server is away")
        self.calls.append(verb)

    def start(self, run: str, *, name: str, tags: Mapping[str, str], at: float | None = None) -> str:
        self._enter("start")
        return super().start(run, name=name, tags=tags, at=at)

    def log(
        self,
        tracked: str,
        *,
        params: Mapping[str, str] = {},
        metrics: Sequence[TrackedMetric] = (),
        tags: Mapping[str, str] = {},
    ) -> None:
        self._enter("params" if params else "metrics" if metrics else "tags")
        super().log(tracked, params=params, metrics=metrics, tags=tags)

    def save(self, tracked: str, source: Path, name: str) -> None:
        self._enter("save")
        super().save(tracked, source, name)

    def finish(self, tracked: str, state: RunState, *, at: float | None = None) -> None:
        self._enter("finish")
        super().finish(tracked, state, at=at)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = open_journal(tmp_path / "journal.db")
    yield journal
    journal.close()


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    return DirectoryStore(tmp_path / "store")


@pytest.fixture
def lease(journal: Journal) -> Lease:
    return begin(journal, "r1")


@pytest.fixture
def tracker() -> Moody:
    return Moody()


@pytest.fixture
def feed(journal: Journal, tracker: Moody, store: DirectoryStore) -> Iterator[Feed]:
    feed = Feed(journal, lambda: tracker, store)
    yield feed
    feed.close()


def begin(journal: Journal, run: str) -> Lease:
    journal.create(Run(id=run, project="p", plan=digest_of(b"plan"), request={}, created=1.0))
    return journal.claim(f"run/{run}", "driver", LONG)


def put_file(store: DirectoryStore, content: bytes) -> Tree:
    tree = Tree((Entry(ROOT, digest_of(content), len(content)),))
    with tempfile.NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        store.put_tree(tree, Path(file.name))
    return tree


def post_all(journal: Journal, lease: Lease, store: DirectoryStore) -> None:
    """One parcel of each kind."""
    post_start(journal, lease, name="first", tags={"shipway.code": "abc"}, at=5.0)
    post_params(journal, lease, {"lr": 0.1, "kind": "linear", "layers": [1, 2]})
    metrics = [TrackedMetric(name="acc", value=0.5, at=6.0), TrackedMetric(name="odd", value=math.nan, at=6.0, step=2)]
    post_metrics(journal, lease, metrics, once="metrics/train")
    post_tags(journal, lease, {"shipway.data": "d"}, once="tags/triple")
    post_artifact(journal, lease, put_file(store, b"png").digest, "plots/a.png")
    post_finish(journal, lease, RunState.HELD, at=9.0)


def kinds(journal: Journal, run: str = "r1") -> list[str]:
    return [parcel.kind for parcel in journal.parcels(run=run)]


def notes(journal: Journal, kind: str, run: str = "r1") -> list[Mapping[str, object]]:
    return [event.data for event in journal.events(run) if event.kind == kind]


def check_all(run: TrackedRun) -> None:
    assert run.name == "first"
    assert run.tags == {"shipway.code": "abc", "shipway.data": "d", "shipway.run": "r1"}
    assert run.params == {"lr": "0.1", "kind": "linear", "layers": "[1,2]"}
    assert [(m.name, m.at, m.step) for m in run.metrics] == [("acc", 6.0, 0), ("odd", 6.0, 2)]
    assert math.isnan(run.metrics[1].value)
    assert run.artifacts == {"plots/a.png": b"png"}
    assert (run.state, run.started, run.ended) == (RunState.HELD, 5.0, 9.0)


def test_everything_posted_arrives_in_order_and_is_taken_off(
    journal: Journal, lease: Lease, store: DirectoryStore, tracker: Moody, feed: Feed
) -> None:
    post_all(journal, lease, store)
    feed.watch("r1")
    assert feed.drain(SOON) == 0
    assert tracker.calls == ["start", "params", "metrics", "tags", "save", "finish"]
    assert kinds(journal) == []
    check_all(tracker.runs["memory-r1"])
    assert notes(journal, TRACKED) == [{"id": "memory-r1", "replaces": None}]


def test_what_is_posted_later_is_sent_too(journal: Journal, lease: Lease, tracker: Moody, feed: Feed) -> None:
    feed.watch("r1")
    post_start(journal, lease, name="r1", tags={}, at=1.0)
    assert feed.drain(SOON) == 0
    post_params(journal, lease, {"a": 1})
    assert feed.drain(SOON) == 0
    assert tracker.runs["memory-r1"].params == {"a": "1"}


def test_no_tracker_is_made_before_a_run_is_watched_that_has_something_to_send(
    journal: Journal, lease: Lease, store: DirectoryStore
) -> None:
    made: list[int] = []

    def make() -> MemoryTracker:
        made.append(threading.get_ident())
        return MemoryTracker()

    feed = Feed(journal, make, store)
    post_all(journal, lease, store)
    assert feed.drain(SOON) == 0
    feed.close()
    assert (made, len(kinds(journal))) == ([], 6)
    feed = Feed(journal, make, store)
    feed.watch("r1")
    feed.drain(SOON)
    feed.close()
    assert len(made) == 1
    assert made[0] != threading.get_ident()


def test_a_repeated_post_is_one_parcel(journal: Journal, lease: Lease, store: DirectoryStore, feed: Feed) -> None:
    post_all(journal, lease, store)
    feed.watch("r1")
    feed.drain(SOON)
    post_all(journal, lease, store)
    assert kinds(journal) == []


def test_nothing_is_posted_where_there_is_nothing_to_say(journal: Journal, lease: Lease) -> None:
    post_params(journal, lease, {})
    post_metrics(journal, lease, [], once="metrics/train")
    post_tags(journal, lease, {}, once="tags")
    assert kinds(journal) == []


def test_what_a_server_that_is_away_did_not_get_is_kept_and_flushed_later(
    journal: Journal, lease: Lease, store: DirectoryStore, tracker: Moody, feed: Feed
) -> None:
    tracker.away = True
    post_all(journal, lease, store)
    feed.watch("r1")
    assert feed.drain(SOON) == 6
    assert feed.drain(SOON) == 6
    feed.close()
    assert notes(journal, AWAY) == [{"reason": "the server is away"}]
    journal.release(lease)

    tracker.away = False
    reports: list[tuple[int, int]] = []
    flushed = Feed(journal, lambda: tracker, store).flush(lambda done, total: reports.append((done, total)))
    assert (flushed.sent, flushed.left, flushed.error) == (6, 0, None)
    assert reports == [(number, 6) for number in range(1, 7)]
    check_all(tracker.runs["memory-r1"])


def test_a_server_that_is_away_is_left_alone_for_longer_and_longer(
    journal: Journal, lease: Lease, store: DirectoryStore, tracker: Moody
) -> None:
    clock = Clock()
    feed = Feed(journal, lambda: tracker, store, clock=clock)
    tracker.away = True
    asked = []
    for _ in range(9):
        feed.ensure_started("r1")
        feed.ensure_started("r1")
        asked.append(tracker.asked)
        clock.now += 1.5
    assert asked == [1, 2, 2, 3, 3, 3, 4, 4, 4]
    clock.now += 60
    tracker.away = False
    assert feed.ensure_started("r1") == "memory-r1"


def test_a_run_goes_on_when_the_tracker_has_a_bug(
    journal: Journal, lease: Lease, store: DirectoryStore, tracker: Moody, feed: Feed
) -> None:
    tracker.bug = ZeroDivisionError("oops")
    post_all(journal, lease, store)
    feed.watch("r1")
    assert feed.drain(SOON) == 6
    assert feed.ensure_started("r1") is None
    assert "ZeroDivisionError" in str(notes(journal, AWAY))
    tracker.bug = None
    assert feed.drain(SOON) == 0


def test_what_can_never_be_accepted_is_named_and_the_rest_arrives(
    journal: Journal, lease: Lease, store: DirectoryStore, tracker: Moody, feed: Feed
) -> None:
    post_start(journal, lease, name="r1", tags={}, at=1.0)
    post_params(journal, lease, {**{f"p{n}": n for n in range(20)}, "x" * 300: 1})
    metrics = [TrackedMetric(name=name, value=1.0, at=1.0, step=s) for name in ("a", "", "b") for s in range(3)]
    post_metrics(journal, lease, metrics, once="metrics/train")
    post_artifact(journal, lease, digest_of(b"collected as garbage"), "gone.png")
    post_finish(journal, lease, RunState.SUCCEEDED, at=2.0)
    feed.watch("r1")
    assert feed.drain(SOON) == 0
    run = tracker.runs["memory-r1"]
    assert run.params == {f"p{n}": str(n) for n in range(20)}
    assert [(metric.name, metric.step) for metric in run.metrics] == [(n, s) for n in "ab" for s in range(3)]
    assert run.state is RunState.SUCCEEDED
    assert [note["kind"] for note in notes(journal, DROPPED)] == ["params", "metrics", "artifact"]
    assert "gone.png" in str(notes(journal, DROPPED)[2]["reason"])


def test_a_parcel_of_a_newer_version_is_dropped(journal: Journal, lease: Lease, tracker: Moody, feed: Feed) -> None:
    journal.post(lease, "hologram", {"a": 1}, once="x")
    feed.watch("r1")
    assert feed.drain(SOON) == 0
    assert "hologram" in str(notes(journal, DROPPED))


def test_a_stage_that_needs_the_run_id_gets_it_at_once(
    journal: Journal, lease: Lease, store: DirectoryStore, tracker: Moody, feed: Feed
) -> None:
    post_all(journal, lease, store)
    assert feed.environment("r1", needs_id=False) == {}
    assert feed.environment("r1", needs_id=True) == {"SHIPWAY_TRACKED": "memory-r1"}
    assert tracker.calls == ["start"]
    assert "start" not in kinds(journal)
    assert feed.ensure_started("r1") == "memory-r1"
    feed.watch("r1")
    assert feed.drain(SOON) == 0
    check_all(tracker.runs["memory-r1"])


def test_a_driver_that_takes_over_goes_on_with_the_same_tracked_run(
    journal: Journal, lease: Lease, store: DirectoryStore, tracker: Moody, feed: Feed
) -> None:
    post_start(journal, lease, name="first", tags={}, at=5.0)
    feed.watch("r1")
    feed.drain(SOON)
    feed.close()
    tracker.calls.clear()
    second = Feed(journal, lambda: tracker, store)
    assert second.ensure_started("r1") == "memory-r1"
    post_params(journal, lease, {"a": 1})
    second.watch("r1")
    assert second.drain(SOON) == 0
    second.close()
    assert tracker.calls == ["params"]


def test_of_two_ids_for_one_run_the_first_written_down_stands(
    journal: Journal, lease: Lease, store: DirectoryStore
) -> None:
    journal.note("r1", TRACKED, {"id": "memory-first", "replaces": None})
    journal.note("r1", TRACKED, {"id": "memory-second", "replaces": None})
    tracker = MemoryTracker({"memory-first": TrackedRun(run="r1", name="r1")})
    post_start(journal, lease, name="r1", tags={}, at=1.0)
    assert Feed(journal, lambda: tracker, store).ensure_started("r1") == "memory-first"


def test_a_run_that_was_deleted_at_the_tracker_is_begun_again(
    journal: Journal, lease: Lease, store: DirectoryStore, tracker: Moody, feed: Feed
) -> None:
    journal.note("r1", TRACKED, {"id": "elsewhere", "replaces": None})
    post_params(journal, lease, {"a": 1})
    post_params(journal, lease, {"b": 1}, once="params/2")
    feed.watch("r1")
    assert feed.drain(SOON) == 0
    assert tracker.runs["memory-r1"].params == {"a": "1", "b": "1"}
    assert notes(journal, TRACKED)[-1] == {"id": "memory-r1", "replaces": "elsewhere"}
    assert Feed(journal, lambda: tracker, store).ensure_started("r1") == "memory-r1"


def test_a_flush_leaves_runs_to_their_living_drivers(
    journal: Journal, lease: Lease, store: DirectoryStore, tracker: Moody
) -> None:
    post_all(journal, lease, store)
    other = begin(journal, "r2")
    post_start(journal, other, name="r2", tags={}, at=1.0)
    journal.release(other)
    flushed = Feed(journal, lambda: tracker, store).flush()
    assert (flushed.sent, flushed.left, flushed.busy, flushed.error) == (1, 6, 1, None)
    assert set(tracker.runs) == {"memory-r2"}


def test_a_flush_gives_up_on_a_dead_server_but_not_for_one_bad_run(
    journal: Journal, store: DirectoryStore, tracker: Moody
) -> None:
    for number in range(5):
        lease = begin(journal, f"r{number}")
        post_start(journal, lease, name="r", tags={}, at=1.0)
        journal.release(lease)
    tracker.away = True
    flushed = Feed(journal, lambda: tracker, store).flush()
    assert (flushed.sent, flushed.left, flushed.error, tracker.asked) == (0, 5, "the server is away", 3)
    tracker.away, tracker.moods = False, [True]
    flushed = Feed(journal, lambda: tracker, store).flush()
    assert (flushed.sent, flushed.left) == (4, 1)


def test_a_drain_ends_at_its_bound_and_a_close_does_not_wait_for_a_hanging_tracker(
    journal: Journal, lease: Lease, store: DirectoryStore
) -> None:
    hanging, release = threading.Event(), threading.Event()

    class Hanging(MemoryTracker):
        def start(self, run: str, *, name: str, tags: Mapping[str, str], at: float | None = None) -> str:
            hanging.set()
            release.wait(60)
            return super().start(run, name=name, tags=tags, at=at)

    post_all(journal, lease, store)
    feed = Feed(journal, Hanging, store)
    feed.watch("r1")
    hanging.wait(60)
    assert feed.drain(0.01) == 6
    feed.close(0.01)
    release.set()
    feed.close()
    assert kinds(journal)[0] == "params", "the parcel at hand is finished, and no other begun"


def test_a_closed_feed_leaves_no_thread(journal: Journal, lease: Lease, store: DirectoryStore, tracker: Moody) -> None:
    before = threading.active_count()
    feed = Feed(journal, lambda: tracker, store)
    feed.watch("r1")
    feed.watch("r1")
    assert threading.active_count() == before + 1
    feed.close()
    feed.close()
    assert threading.active_count() == before
    feed.watch("r1")
    assert threading.active_count() == before


EXIT = """
import sys, time
from datetime import timedelta
from pathlib import Path
from shipway.journal.sql import open_journal
from shipway.pipeline.feed import Feed
from shipway.pipeline.parcels import post_start
from shipway.specs.runs import Run
from shipway.specs.trees import digest_of
from shipway.store.directory import DirectoryStore

place = Path(sys.argv[1])
journal = open_journal(place / "journal.db")
journal.create(Run(id="r1", project="p", plan=digest_of(b""), request={}, created=1.0))
post_start(journal, journal.claim("run/r1", "driver", timedelta(hours=1)), name="r1", tags={}, at=1.0)
feed = Feed(journal, lambda: time.sleep(3600), DirectoryStore(place / "store"))
feed.watch("r1")
feed.drain(0.05)
raise KeyboardInterrupt
"""


def test_an_interpreter_that_is_interrupted_ends_although_the_tracker_hangs(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", EXIT, tmp_path], capture_output=True, text=True, timeout=400)
    assert done.stderr.strip().endswith("KeyboardInterrupt")


@settings(max_examples=25, deadline=None)
@given(st.lists(st.booleans(), max_size=30))
def test_whatever_fails_on_the_way_the_tracker_ends_up_the_same(moods: list[bool]) -> None:
    with tempfile.TemporaryDirectory() as place:
        journal, store = open_journal(Path(place) / "journal.db"), DirectoryStore(Path(place) / "store")
        tracker = Moody()
        tracker.moods = list(moods)
        lease = begin(journal, "r1")
        post_all(journal, lease, store)
        journal.release(lease)
        for _ in range(len(moods) + 1):
            left = Feed(journal, lambda: tracker, store).flush().left
        assert left == 0
        check_all(tracker.runs["memory-r1"])
        journal.close()
