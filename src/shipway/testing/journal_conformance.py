"""
What every journal does, as tests: subclass `JournalConformance` and give it a fixture `location`.

Leases are made to end by a time to live of zero, so no test waits for a clock.
"""

import json
import pkgutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any, ClassVar

import msgspec
import pytest

from shipway.errors import ConflictError, LeaseLostError, NotFoundError, UsageError
from shipway.journal.base import Journal
from shipway.specs.jobs import JobState
from shipway.specs.runs import JobRow, Lease, RunState, StageRow, StageState
from shipway.specs.stages import JsonValue
from shipway.specs.trees import Digest, digest_of
from shipway.testing.journal_racer import LONG, ROUNDS, sample_run

KEY = digest_of(b"key")
OTHER_KEY = digest_of(b"other key")
OVER = timedelta(0)
"""A lease with this time to live has ended when it begins."""


def stage_row(name: str = "train", state: StageState = StageState.RUNNING, **more: Any) -> StageRow:
    """A stage of run r1 unless told otherwise."""
    return StageRow(**{"run": "r1", "name": name, "state": state, **more})


def job_row(name: str = "j1", **more: Any) -> JobRow:
    """A job of run r1 unless told otherwise."""
    fixed = {"id": name, "key": KEY, "attempt": 1, "run": "r1", "stage": "train", "site": "local", "created": 2.0}
    return JobRow(**{**fixed, **more})


class JournalConformance:
    """`opener` is `module:function` that opens a journal at a location, in this process or another."""

    opener: ClassVar[str] = "shipway.journal.sql:open_journal"
    racers: ClassVar[int] = 4

    @pytest.fixture
    def location(self) -> str:
        """A new place for each test."""
        raise NotImplementedError

    @pytest.fixture
    def journal(self, location: str) -> Iterator[Journal]:
        journal = self.open(location)
        yield journal
        journal.close()

    @pytest.fixture
    def lease(self, journal: Journal) -> Lease:
        """The lease of a new run r1."""
        journal.create(sample_run("r1"))
        return journal.claim("run/r1", "driver", LONG)

    def open(self, location: str) -> Journal:
        journal: Journal = pkgutil.resolve_name(self.opener)(location)
        return journal

    # Runs

    def test_a_run_is_read_back_as_it_was_written(self, journal: Journal) -> None:
        request = {"text": "é \u0000 \U0001f680", "list": [1, 2.5, None, True], "nested": {"a": {}}}
        run = msgspec.structs.replace(sample_run("r1", created=1763977858.123456), request=request)
        journal.create(run)
        assert journal.get("r1") == run

    def test_a_taken_run_id_is_a_conflict_and_the_first_run_stands(self, journal: Journal) -> None:
        journal.create(sample_run("r1", project="first"))
        with pytest.raises(ConflictError, match="r1"):
            journal.create(sample_run("r1", project="second"))
        assert journal.get("r1").project == "first"

    def test_an_unknown_run_is_not_found(self, journal: Journal) -> None:
        with pytest.raises(NotFoundError, match="nobody"):
            journal.get("nobody")

    def test_runs_are_listed_newest_first_by_project_and_state(self, journal: Journal) -> None:
        for name, created, project in (("old", 1.0, "a"), ("new", 3.0, "a"), ("other", 2.0, "b"), ("tie", 3.0, "a")):
            journal.create(sample_run(name, created, project))
        journal.finish(journal.claim("run/new", "driver", LONG), RunState.HELD)
        assert [run.id for run in journal.list()] == ["tie", "new", "other", "old"]
        assert [run.id for run in journal.list(project="a", limit=2)] == ["tie", "new"]
        assert [run.id for run in journal.list(states=(RunState.HELD, RunState.FAILED))] == ["new"]
        assert [run.id for run in journal.list(project="a", states=[RunState.RUNNING])] == ["tie", "old"]
        assert journal.list(project="nobody's") == []

    def test_the_first_end_of_a_run_stands(self, journal: Journal, lease: Lease) -> None:
        first = journal.finish(lease, RunState.FAILED, "train: exit code 1")
        assert (first.state, first.error) == (RunState.FAILED, "train: exit code 1")
        assert first.ended is not None
        assert journal.finish(lease, RunState.SUCCEEDED) == first
        assert journal.get("r1") == first

    def test_running_is_no_end(self, journal: Journal, lease: Lease) -> None:
        with pytest.raises(UsageError, match="running"):
            journal.finish(lease, RunState.RUNNING)

    # Leases

    def test_a_held_lease_is_a_conflict_that_names_its_owner(self, journal: Journal) -> None:
        journal.claim("run/r1", "alice@box:12", LONG)
        with pytest.raises(ConflictError, match="alice@box:12"):
            journal.claim("run/r1", "bob", LONG)

    def test_the_owner_itself_cannot_claim_twice(self, journal: Journal) -> None:
        journal.claim("run/r1", "driver", LONG)
        with pytest.raises(ConflictError, match="driver"):
            journal.claim("run/r1", "driver", LONG)

    def test_leases_of_different_names_do_not_touch(self, journal: Journal) -> None:
        assert journal.claim("run/r1", "a", LONG).epoch == journal.claim("run/r2", "b", LONG).epoch

    def test_an_ended_lease_is_taken_with_the_next_epoch(self, journal: Journal) -> None:
        first = journal.claim("run/r1", "a", OVER)
        second = journal.claim("run/r1", "b", LONG)
        assert second.epoch == first.epoch + 1
        assert journal.holder("run/r1") == second

    def test_a_released_lease_is_free_and_its_epoch_is_not_used_again(self, journal: Journal) -> None:
        first = journal.claim("run/r1", "a", LONG)
        journal.release(first)
        assert journal.holder("run/r1") is None
        assert journal.claim("run/r1", "a", LONG).epoch == first.epoch + 1

    def test_a_name_that_nobody_claimed_has_no_holder(self, journal: Journal) -> None:
        assert journal.holder("run/nobody") is None

    def test_an_ended_lease_has_no_holder(self, journal: Journal) -> None:
        journal.claim("run/r1", "a", OVER)
        assert journal.holder("run/r1") is None

    def test_renewing_pushes_the_end_out_and_keeps_the_epoch(self, journal: Journal) -> None:
        taken = journal.claim("run/r1", "a", LONG)
        renewed = journal.renew(taken, LONG * 2)
        assert renewed.epoch == taken.epoch
        assert renewed.expires > taken.expires
        assert journal.holder("run/r1") == renewed

    def test_a_lease_object_from_before_a_renewal_is_still_good(self, journal: Journal, lease: Lease) -> None:
        journal.renew(lease, LONG * 2)
        assert journal.record(lease, "pack", 1) == 1

    def test_renewing_never_shortens(self, journal: Journal) -> None:
        taken = journal.claim("run/r1", "a", LONG)
        assert journal.renew(taken, OVER).expires == taken.expires

    def test_an_ended_lease_cannot_be_renewed(self, journal: Journal) -> None:
        with pytest.raises(LeaseLostError):
            journal.renew(journal.claim("run/r1", "a", OVER), LONG)

    def test_a_lease_that_another_took_cannot_be_renewed_or_released(self, journal: Journal) -> None:
        lost = journal.claim("run/r1", "a", OVER)
        taken = journal.claim("run/r1", "b", LONG)
        with pytest.raises(LeaseLostError, match="b"):
            journal.renew(lost, LONG)
        journal.release(lost)
        assert journal.holder("run/r1") == taken

    def test_releasing_twice_is_no_error(self, journal: Journal) -> None:
        taken = journal.claim("run/r1", "a", LONG)
        journal.release(taken)
        journal.release(taken)

    @pytest.mark.parametrize("how", ["ended", "released", "taken", "never claimed", "of the same owner's older epoch"])
    def test_whoever_lost_the_lease_writes_nothing(self, journal: Journal, how: str) -> None:
        journal.create(sample_run("r1"))
        stale = self._stale(journal, how)
        for write in (
            lambda: journal.finish(stale, RunState.FAILED),
            lambda: journal.save_stage(stale, stage_row()),
            lambda: journal.save_job(stale, job_row()),
            lambda: journal.record(stale, "pack", 1),
            lambda: journal.post(stale, "metrics", {}, once="a"),
        ):
            with pytest.raises(LeaseLostError):
                write()
        assert journal.get("r1").state is RunState.RUNNING
        assert (journal.stages("r1"), journal.jobs(), journal.steps("r1"), journal.parcels()) == ([], [], {}, [])

    def _stale(self, journal: Journal, how: str) -> Lease:
        if how == "never claimed":
            return Lease(name="run/r1", owner="driver", epoch=1, expires=1e12)
        lease = journal.claim("run/r1", "driver", LONG if how == "released" else OVER)
        if how == "released":
            journal.release(lease)
        elif how != "ended":
            journal.claim("run/r1", "other" if how == "taken" else "driver", LONG)
        return lease

    def test_a_lease_writes_only_its_own_run(self, journal: Journal, lease: Lease) -> None:
        with pytest.raises(UsageError, match="r2"):
            journal.save_stage(lease, stage_row(run="r2"))
        endpoint = journal.claim("endpoint/staging", "driver", LONG)
        with pytest.raises(UsageError, match="endpoint/staging"):
            journal.record(endpoint, "pack", 1)

    # Stages

    def test_stages_stand_in_the_order_of_their_first_writing(self, journal: Journal, lease: Lease) -> None:
        for name in ("train", "prepare", "evaluate"):
            journal.save_stage(lease, stage_row(name, StageState.WAITING))
        last = stage_row("train", StageState.SUCCEEDED, key=KEY, job="j1", started=1.5, ended=2.5, reason="why")
        assert journal.save_stage(lease, last) == last
        assert [row.name for row in journal.stages("r1")] == ["train", "prepare", "evaluate"]
        assert journal.stages("r1")[0] == last
        assert journal.stages("nobody") == []

    @pytest.mark.parametrize("state", [state for state in StageState if state.terminal])
    def test_a_terminal_stage_stands_for_ever(self, journal: Journal, lease: Lease, state: StageState) -> None:
        ended = journal.save_stage(lease, stage_row(state=state, key=KEY))
        for later in StageState:
            assert journal.save_stage(lease, stage_row(state=later, key=OTHER_KEY)) == ended
        assert journal.stages("r1") == [ended]

    def test_the_last_key_is_that_of_the_newest_good_row(self, journal: Journal) -> None:
        def end(run: str, state: StageState, key: Digest | None, project: str = "digits") -> None:
            journal.create(sample_run(run, project=project))
            journal.save_stage(journal.claim(f"run/{run}", "d", LONG), stage_row(run=run, state=state, key=key))

        assert journal.last_key("digits", "train") is None
        end("r1", StageState.SUCCEEDED, KEY)
        end("r2", StageState.CACHED, OTHER_KEY)
        end("r3", StageState.FAILED, KEY)
        end("r4", StageState.CACHED, None)
        end("r5", StageState.SUCCEEDED, KEY, project="another")
        assert journal.last_key("digits", "train") == OTHER_KEY
        assert journal.last_key("another", "train") == KEY
        assert journal.last_key("digits", "evaluate") is None

    # Jobs

    def test_the_first_row_of_a_job_stands_in_what_it_is(self, journal: Journal, lease: Lease) -> None:
        first = journal.save_job(lease, job_row())
        later = job_row(stage="other", site="hpc", created=9.0, attempt=2, key=OTHER_KEY, run="r2")
        known = {"handle": "process:1", "state": JobState.RUNNING, "reason": "here"}
        stands = journal.save_job(lease, msgspec.structs.replace(later, **known))
        assert stands == msgspec.structs.replace(first, **known)
        assert journal.jobs() == [stands]

    def test_a_handle_is_not_forgotten(self, journal: Journal, lease: Lease) -> None:
        journal.save_job(lease, job_row(handle="process:1"))
        assert journal.save_job(lease, job_row()).handle == "process:1"

    @pytest.mark.parametrize("state", [state for state in JobState if state.terminal])
    def test_a_terminal_job_stands_for_ever(self, journal: Journal, lease: Lease, state: JobState) -> None:
        ended = journal.save_job(lease, job_row(state=state, exit_code=0, handle="process:1", ended=3.0, reason="done"))
        for later in JobState:
            assert journal.save_job(lease, job_row(state=later, exit_code=1, handle="process:2")) == ended
        assert journal.jobs() == [ended]

    def test_an_answer_that_is_none_is_no_end(self, journal: Journal, lease: Lease) -> None:
        for state in (JobState.UNKNOWN, JobState.NOT_FOUND, JobState.SUCCEEDED):
            assert journal.save_job(lease, job_row(state=state)).state is state

    def test_another_runs_driver_may_write_what_a_job_came_to(self, journal: Journal, lease: Lease) -> None:
        journal.save_job(lease, job_row(handle="process:1"))
        journal.create(sample_run("r2"))
        second = journal.claim("run/r2", "other driver", LONG)
        stands = journal.save_job(second, job_row(handle="process:1", state=JobState.SUCCEEDED, exit_code=0))
        assert (stands.run, stands.state) == ("r1", JobState.SUCCEEDED)

    def test_jobs_are_found_by_run_stage_and_key_oldest_first(self, journal: Journal, lease: Lease) -> None:
        journal.save_job(lease, job_row("first"))
        journal.save_job(lease, job_row("second", key=OTHER_KEY))
        journal.create(sample_run("r2"))
        second = journal.claim("run/r2", "other driver", LONG)
        journal.save_job(second, job_row("third", run="r2"))
        journal.save_stage(second, stage_row(run="r2", job="second"))
        assert [job.id for job in journal.jobs(run="r1")] == ["first", "second"]
        assert [job.id for job in journal.jobs(run="r2")] == ["second", "third"]
        assert [job.id for job in journal.jobs(key=KEY)] == ["first", "third"]
        assert [job.id for job in journal.jobs(run="r2", key=KEY)] == ["third"]
        assert journal.jobs(run="nobody") == []

    # Steps, events, parcels

    def test_the_first_value_of_a_step_stands(self, journal: Journal, lease: Lease) -> None:
        values: dict[str, JsonValue] = {"gate": {"open": True}, "register": None, "a": [1, "x"]}
        for step, value in values.items():
            assert journal.record(lease, step, value) == value
            assert journal.record(lease, step, "later") == value
        assert journal.steps("r1") == values
        assert list(journal.steps("r1")) == list(values)
        assert journal.steps("nobody") == {}

    def test_events_come_in_order_and_after_a_number(self, journal: Journal, lease: Lease) -> None:
        journal.create(sample_run("r2"))
        first = journal.note("r1", "started", {"stage": "train"})
        journal.note("r2", "elsewhere", {})
        second = journal.note("r1", "ended", {"code": 0})
        assert journal.events("r1") == [first, second]
        assert journal.events("r1", after=first.seq) == [second]
        assert journal.events("r1", after=second.seq) == []
        assert first.at <= second.at

    def test_an_event_of_a_run_that_is_not_there_is_refused(self, journal: Journal) -> None:
        with pytest.raises(NotFoundError, match="nobody"):
            journal.note("nobody", "started", {})

    def test_a_parcel_waits_until_it_was_sent_and_is_posted_once(self, journal: Journal, lease: Lease) -> None:
        journal.post(lease, "params", {"lr": 0.1}, once="params")
        journal.post(lease, "params", {"lr": 0.2}, once="params")
        journal.post(lease, "metrics", {"acc": 0.9}, once="metrics")
        params, metrics = journal.parcels(run="r1")
        assert (params.kind, params.data, metrics.data) == ("params", {"lr": 0.1}, {"acc": 0.9})
        journal.sent(params.seq)
        journal.sent(params.seq)
        journal.sent(987654)
        journal.post(lease, "params", {"lr": 0.1}, once="params")
        assert journal.parcels() == [metrics]

    def test_parcels_of_two_runs_do_not_drop_each_other(self, journal: Journal, lease: Lease) -> None:
        journal.create(sample_run("r2"))
        other = journal.claim("run/r2", "driver", LONG)
        journal.post(lease, "params", {}, once="params")
        journal.post(other, "params", {}, once="params")
        assert [parcel.run for parcel in journal.parcels()] == ["r1", "r2"]
        assert [parcel.run for parcel in journal.parcels(run="r2")] == ["r2"]

    # Many at once

    def test_what_is_written_outlives_the_connection(self, journal: Journal, lease: Lease, location: str) -> None:
        journal.record(lease, "pack", 1)
        journal.close()
        assert journal.steps("r1") == {"pack": 1}
        other = self.open(location)
        assert other.steps("r1") == {"pack": 1}
        other.close()

    def test_threads_share_one_journal(self, journal: Journal, lease: Lease) -> None:
        start = threading.Barrier(8)

        def work(number: int) -> Any:
            start.wait()
            journal.save_stage(lease, stage_row(f"s{number}"))
            journal.note("r1", "tick", {"n": number})
            return journal.record(lease, "pack", number)

        with ThreadPoolExecutor(8) as pool:
            stands = set(pool.map(work, range(8)))
        assert stands == {journal.steps("r1")["pack"]}
        assert len(journal.stages("r1")) == len(journal.events("r1")) == 8

    def test_threads_that_claim_at_once_have_one_winner(self, journal: Journal) -> None:
        start = threading.Barrier(8)

        def claim(number: int) -> Lease | None:
            start.wait()
            try:
                return journal.claim("run/r1", "same owner", LONG)
            except ConflictError:
                return None

        with ThreadPoolExecutor(8) as pool:
            won = [lease for lease in pool.map(claim, range(8)) if lease]
        assert [lease.epoch for lease in won] == [1]

    @pytest.mark.slow
    def test_processes_that_open_a_new_place_together_are_all_fine(self, location: str) -> None:
        assert self.race(location, "opens") == [True] * self.racers
        journal = self.open(location)
        assert len(journal.list()) == self.racers
        journal.close()

    @pytest.mark.slow
    def test_of_processes_that_claim_one_lease_one_wins(self, location: str, journal: Journal) -> None:
        epochs = self.race(location, "claims")
        assert sorted(epochs, key=str) == [1] + [None] * (self.racers - 1)

    @pytest.mark.slow
    def test_each_epoch_has_one_owner_among_processes(self, location: str, journal: Journal) -> None:
        journal.create(sample_run("r1"))
        epochs = [epoch for mine in self.race(location, "hands_over") for epoch in mine]
        assert sorted(epochs) == list(range(1, self.racers * ROUNDS + 1))
        assert len(journal.stages("r1")) == len(epochs)

    @pytest.mark.slow
    def test_of_processes_that_write_one_step_the_first_stands(
        self, location: str, journal: Journal, lease: Lease
    ) -> None:
        values = self.race(location, "records", lease)
        assert set(values) == {journal.steps("r1")["pack"]}
        assert len(journal.parcels()) == 1

    @pytest.mark.slow
    def test_processes_that_were_overtaken_write_nothing(self, location: str, journal: Journal) -> None:
        journal.create(sample_run("r1"))
        stale = journal.claim("run/r1", "driver", OVER)
        journal.claim("run/r1", "driver", LONG)
        assert self.race(location, "overstays", stale) == [True] * self.racers
        assert journal.steps("r1") == {}

    @pytest.mark.slow
    def test_a_reader_that_follows_misses_no_event(self, location: str, journal: Journal) -> None:
        journal.create(sample_run("r1"))
        seen: list[int] = []
        done = threading.Event()

        def follow() -> None:
            while True:
                last_look = done.is_set()
                seen.extend(event.seq for event in journal.events("r1", after=seen[-1] if seen else 0))
                if last_look:
                    return

        reader = threading.Thread(target=follow)
        reader.start()
        try:
            written = self.race(location, "notes")
        finally:
            done.set()
            reader.join()
        assert seen == sorted(seq for mine in written for seq in mine)

    @pytest.mark.slow
    def test_what_a_killed_process_had_written_stands_and_others_go_on(
        self, location: str, journal: Journal, lease: Lease
    ) -> None:
        writer = self.racer(location, "writes", lease)
        assert writer.stdin is not None
        assert writer.stdout is not None
        try:
            writer.stdin.write("go\n")
            writer.stdin.flush()
            told = [int(writer.stdout.readline()) for _ in range(20)]
        finally:
            writer.kill()
            rest, _ = writer.communicate()
        told += [int(line) for line in rest.splitlines(keepends=True) if line.endswith("\n")]
        steps = journal.steps("r1")
        assert set(told) <= set(steps.values())
        assert list(steps.values()) == list(range(len(steps)))
        assert journal.record(lease, "after", "fine") == "fine"

    def race(self, location: str, act: str, lease: Lease | None = None) -> Sequence[Any]:
        """Start processes, let them go at once when all are ready, and return what each printed."""
        racers = [self.racer(location, act, lease) for _ in range(self.racers)]
        try:
            for racer in racers:
                assert racer.stdin is not None
                racer.stdin.write("go\n")
                racer.stdin.flush()
            answers = [racer.communicate(timeout=60) for racer in racers]
        finally:
            for racer in racers:
                racer.kill()
                racer.wait()
        for racer, (_, errors) in zip(racers, answers, strict=True):
            assert racer.returncode == 0, errors
        return [json.loads(output) for output, _ in answers]

    def racer(self, location: str, act: str, lease: Lease | None = None) -> "subprocess.Popen[str]":
        """One process, ready to go."""
        argv = [self.opener, str(location), act, msgspec.json.encode(lease).decode()]
        process = subprocess.Popen(
            [sys.executable, "-m", "shipway.testing.journal_racer", *argv],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        if process.stdout.readline() != "ready\n":
            process.kill()
            raise AssertionError(process.communicate()[1])
        return process
