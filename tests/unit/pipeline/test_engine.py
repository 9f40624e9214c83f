"""The engine against a far side that misbehaves, and against failures of every kind."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from shipway.app import running
from shipway.app.opened import Opened
from shipway.errors import ConfigError, InputChangedError, OutputMissingError, ShipwayError, StageFailedError
from shipway.pipeline.graph import Selection
from shipway.specs.runs import Event, RunState, StageState
from shipway.testing.fake_backend import FakeBackend, FarSide

MakeProject = Callable[..., Path]

TWO = """
project: two
tracking: off
stages:
  one: {run: "echo one; cp in.txt one.txt", inputs: [in.txt], outputs: [one.txt]}
  two: {run: "cp one.txt two.txt", inputs: [one.txt], outputs: [two.txt]}
"""


class Bench:
    """A project on a fake backend."""

    def __init__(self, root: Path, work: Path) -> None:
        self.root = root
        self.far = FarSide()
        self.work = work
        self.events: list[Event] = []

    def open(self) -> Opened:
        opened = Opened(self.root)
        opened._backends["local"] = FakeBackend(self.work, opened.store, opened.views, far=self.far)
        return opened

    def run(self, **selection: tuple[str, ...]) -> running.Report:
        request = running.Request(selection=Selection(**selection), jobs=4)
        return running.run(self.open(), request, self.events.append)

    def states(self) -> dict[str, StageState]:
        journal = self.open().journal
        return {row.name: row.state for row in journal.stages(journal.list()[0].id)}

    def last(self) -> RunState:
        return self.open().journal.list()[0].state


@pytest.fixture
def bench(make_project: MakeProject, tmp_path: Path) -> Iterator[Bench]:
    made = Bench(make_project(TWO, {"in.txt": "in\n"}), tmp_path / "far")
    yield made
    made.far.close()


def write(bench: Bench, file: str) -> None:
    (bench.root / "shipway.yaml").write_text(file)


def test_each_stage_is_one_job(bench: Bench) -> None:
    bench.run()
    assert len(bench.far.started) == 2
    assert (bench.root / "two.txt").read_text() == "in\n"


def test_no_job_is_left_behind(bench: Bench) -> None:
    bench.run()
    assert bench.far.jobs == {}


def test_a_site_that_does_not_answer_at_first_is_asked_again(bench: Bench) -> None:
    bench.far.unavailable = 1
    bench.run()
    assert bench.states() == {"one": StageState.SUCCEEDED, "two": StageState.SUCCEEDED}


def test_an_unknown_state_is_neither_success_nor_failure(bench: Bench) -> None:
    bench.far.unknown = 5
    bench.run()
    assert len(bench.far.started) == 2
    assert bench.last() is RunState.SUCCEEDED


def test_a_failed_stage_fails_the_run_and_skips_what_needs_it(bench: Bench) -> None:
    write(bench, TWO.replace("cp in.txt one.txt", "exit 7"))
    with pytest.raises(StageFailedError, match=r"stage one failed with exit code 7") as caught:
        bench.run()
    assert "shipway logs" in str(caught.value.hint)
    assert bench.states() == {"one": StageState.FAILED, "two": StageState.SKIPPED}
    assert bench.last() is RunState.FAILED


def test_what_a_failed_stage_printed_is_kept(bench: Bench) -> None:
    write(bench, TWO.replace("cp in.txt one.txt", "exit 7"))
    with pytest.raises(StageFailedError):
        bench.run()
    opened = bench.open()
    assert b"".join(running.logs(opened, running.find_run(opened, None), "one", follow=False)) == b"one\n"


def test_a_failed_stage_is_tried_again_as_another_job(bench: Bench) -> None:
    write(bench, TWO.replace("cp in.txt one.txt", "exit 7"))
    for _ in range(2):
        with pytest.raises(StageFailedError):
            bench.run()
    assert [job.attempt for job in bench.open().journal.jobs(key=bench.open().journal.jobs()[0].key)] == [1, 2]


def test_a_missing_output_is_named_with_what_is_there(bench: Bench) -> None:
    write(bench, TWO.replace("cp in.txt one.txt", "cp in.txt on.txt"))
    with pytest.raises(OutputMissingError, match=r"one\.txt"):
        bench.run()
    assert bench.states()["one"] is StageState.FAILED


def test_a_stage_that_writes_into_its_input_is_found_out_and_not_kept(
    make_project: MakeProject, tmp_path: Path
) -> None:
    file = """
project: vandal
tracking: off
stages: {bad: {run: "echo more >> data/a; echo out > out.txt", inputs: [data], outputs: [out.txt]}}
"""
    bench = Bench(make_project(file, {"data/a": "a\n"}), tmp_path / "far")
    with pytest.raises(InputChangedError, match="data"):
        bench.run()
    assert not (bench.root / "out.txt").exists()
    assert list(bench.open().store.all_keys()) == []


def test_a_file_in_the_command_that_is_no_input_is_named_in_the_hint(make_project: MakeProject, tmp_path: Path) -> None:
    file = 'project: p\ntracking: off\nstages: {s: {run: "sh make.sh", inputs: [in.txt], outputs: [out.txt]}}\n'
    bench = Bench(make_project(file, {"in.txt": "", "make.sh": "cp in.txt out.txt\n"}), tmp_path / "far")
    with pytest.raises(StageFailedError) as caught:
        bench.run()
    assert "make.sh stands in the command but not in the stage's inputs" in str(caught.value.hint)


def test_a_lost_job_fails_its_stage_with_words(bench: Bench) -> None:
    write(bench, TWO.replace("cp in.txt one.txt", "sleep 30"))
    with pytest.raises(StageFailedError, match="lost"), in_background(lambda: bench.far.lose(wait_for_job(bench))):
        bench.run()


def test_a_forgotten_job_is_an_error_and_never_a_guess(bench: Bench) -> None:
    write(bench, TWO.replace("cp in.txt one.txt", "sleep 30"))
    with (
        pytest.raises(StageFailedError, match="does not know"),
        in_background(lambda: bench.far.forget(wait_for_job(bench))),
    ):
        bench.run()


def test_cancel_from_another_process_ends_the_run_and_its_jobs(bench: Bench) -> None:
    write(bench, TWO.replace("cp in.txt one.txt", "sleep 30"))

    def cancel() -> None:
        wait_for_job(bench)
        opened = bench.open()
        running.cancel(opened, running.find_run(opened, None).id)

    with pytest.raises(KeyboardInterrupt), in_background(cancel):
        bench.run()
    assert bench.states() == {"one": StageState.CANCELLED, "two": StageState.SKIPPED}
    assert bench.last() is RunState.CANCELLED
    assert bench.far.jobs == {}


def test_independent_stages_run_side_by_side(make_project: MakeProject, tmp_path: Path) -> None:
    meet = "touch {meet}/$NAME; while [ $(ls {meet} | wc -l) -lt 2 ]; do sleep 0.01; done; echo > $NAME".format(
        meet=tmp_path / "meet"
    )
    (tmp_path / "meet").mkdir()
    file = f"""
project: wide
tracking: off
stages:
  left: {{run: "{meet}", inputs: [], outputs: [left], env: {{NAME: left}}, resources: {{time: 20s}}}}
  right: {{run: "{meet}", inputs: [], outputs: [right], env: {{NAME: right}}, resources: {{time: 20s}}}}
"""
    bench = Bench(make_project(file), tmp_path / "far")
    bench.run()
    assert bench.last() is RunState.SUCCEEDED


def test_a_secret_that_is_not_set_stops_the_run_before_its_job(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOME_TOKEN", raising=False)
    write(bench, TWO.replace("outputs: [one.txt]}", "outputs: [one.txt], secrets: [SOME_TOKEN]}"))
    with pytest.raises(ConfigError, match="SOME_TOKEN is not set"):
        bench.run()
    assert bench.far.started == []


def test_a_secret_reaches_the_job_and_nothing_that_is_kept(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_TOKEN", "correct-horse-battery")
    file = TWO.replace("cp in.txt one.txt", "printf %s $SOME_TOKEN | wc -c > one.txt")
    write(bench, file.replace("outputs: [one.txt]}", "outputs: [one.txt], secrets: [SOME_TOKEN]}"))
    bench.run()
    assert (bench.root / "one.txt").read_text().strip() == "21"
    kept = [path for path in (bench.root / ".shipway").rglob("*") if path.is_file()]
    assert kept
    assert not [path for path in kept if b"correct-horse" in path.read_bytes()]


def test_an_edit_after_the_start_does_not_reach_the_run(make_project: MakeProject, tmp_path: Path) -> None:
    file = """
project: pinned
tracking: off
stages:
  first: {run: "while [ ! -e GO ]; do sleep 0.01; done; cp in.txt a.txt", inputs: [in.txt], outputs: [a.txt]}
  second: {run: "cat a.txt late.txt > b.txt", inputs: [a.txt, late.txt], outputs: [b.txt]}
""".replace("GO", str(tmp_path / "go"))
    bench = Bench(make_project(file, {"in.txt": "in\n", "late.txt": "before\n"}), tmp_path / "far")

    def edit() -> None:
        wait_for_job(bench)
        (bench.root / "late.txt").write_text("after\n")
        (tmp_path / "go").touch()

    with in_background(edit):
        bench.run()
    assert (bench.root / "b.txt").read_text() == "in\nbefore\n"


def test_a_person_who_edits_an_input_while_it_is_read_costs_a_second_job_and_no_result(
    make_project: MakeProject, tmp_path: Path
) -> None:
    file = """
project: edited
tracking: off
stages:
  read: {run: "touch BEGAN; while [ ! -e GO ]; do sleep 0.01; done; cat data/a > out.txt", inputs: [data], outputs: [out.txt]}
""".replace("GO", str(tmp_path / "go")).replace("BEGAN", str(tmp_path / "began"))
    bench = Bench(make_project(file, {"data/a": "before\n"}), tmp_path / "far")

    def edit() -> None:
        wait_until((tmp_path / "began").exists, "the job began")
        (bench.root / "data" / "a").write_text("after\n")
        (tmp_path / "go").touch()

    with in_background(edit):
        bench.run()
    assert (bench.root / "out.txt").read_text() == "before\n"
    assert len(bench.far.started) == 2
    assert any("runs again on a copy" in str(event.data.get("text")) for event in bench.events)


def test_what_a_person_put_at_an_output_is_moved_aside_not_deleted(bench: Bench) -> None:
    (bench.root / "two.txt").write_text("mine\n")
    bench.run()
    assert (bench.root / "two.txt").read_text() == "in\n"
    assert [path.read_text() for path in (bench.root / ".shipway" / "replaced").rglob("two.txt")] == ["mine\n"]


def test_an_output_that_was_deleted_comes_back_without_a_job(bench: Bench) -> None:
    bench.run()
    (bench.root / "two.txt").unlink()
    bench.run()
    assert (bench.root / "two.txt").read_text() == "in\n"
    assert len(bench.far.started) == 2


def test_events_tell_the_story_in_order(bench: Bench) -> None:
    bench.run()
    told = [(event.data.get("stage"), event.data.get("state")) for event in bench.events if event.kind == "stage"]
    assert told == [("one", "running"), ("one", "succeeded"), ("two", "running"), ("two", "succeeded")]


def wait_for_job(bench: Bench) -> str:
    wait_until(lambda: bool(bench.far.started), "a job was started")
    return bench.far.started[0]


def wait_until(seen: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 20
    while not seen():
        assert time.monotonic() < deadline, f"never seen: {what}"
        time.sleep(0.01)


class in_background:
    """Runs an act in a thread beside the block, and raises what it raised."""

    def __init__(self, act: Callable[[], object]) -> None:
        self._act = act
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        try:
            self._act()
        except BaseException as error:
            self._error = error

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._thread.join()
        if self._error is not None and not isinstance(self._error, ShipwayError):
            raise self._error
