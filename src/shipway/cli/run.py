"""`shipway run` and `shipway ship`."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from shipway.app.opened import Opened
from shipway.app.running import Request, logs, run
from shipway.cli.options import Command, as_json, in_project, overriding, selecting, selection
from shipway.cli.output import Watch, print_json, progress, seconds
from shipway.errors import ShipwayError, StageError
from shipway.specs.runs import Run, RunState, StageState

Words = tuple[str, ...]

_LAST_LINES = 12
"""Lines of a failed stage's output that are shown with the failure."""


def _request_options(command: Command) -> Command:
    jobs = click.option(
        "-j", "--jobs", type=click.IntRange(1, 1000), default=2, show_default=True, help="Stages side by side."
    )
    return selecting(overriding(jobs(in_project(as_json(command)))))


@click.command("run")
@_request_options
def run_command(directory: Path, json: bool, overrides: Words, jobs: int, **chosen: Words) -> int:
    """
    Make the model: run every stage that has no result for the files, parameters and environment as they are.

    A run of the same plan whose driver died is taken up where it was.
    """
    return _go(directory, Request(selection=selection(**chosen), overrides=overrides, jobs=jobs), json=json)


@click.command("ship")
@click.option("--to", "endpoints", multiple=True, metavar="ENDPOINT", help="Only to this endpoint.  [default: all]")
@_request_options
def ship_command(directory: Path, json: bool, overrides: Words, jobs: int, endpoints: Words, **chosen: Words) -> int:
    """
    Make the model and deliver it: gate, register, pack, roll out, verify.

    Exit code 3: the gate held the model, and what serves goes on serving.
    """
    to = endpoints or None
    request = Request(verb="ship", selection=selection(**chosen), overrides=overrides, jobs=jobs, endpoints=to)
    return _go(directory, request, json=json)


def _go(directory: Path, request: Request, *, json: bool) -> int:
    opened = Opened(directory, request.overrides)
    with watching(opened, json=json) as watch:
        report = run(opened, request, watch)
    if json:
        print_json(report)
        return exit_of(report.run)
    cached = sum(row.state is StageState.CACHED for row in report.stages)
    took = seconds((report.run.ended or report.run.created) - report.run.created)
    click.echo(
        f"run {report.run.id} {report.run.state}: {_stages(len(report.stages))}, {cached} from the store, {took}"
    )
    return exit_of(report.run)


@contextmanager
def watching(opened: Opened, *, json: bool) -> Iterator[Watch]:
    """What shows a run; where a stage fails, the end of what it printed comes with it."""
    watch = progress(json=json)
    try:
        with watch:
            yield watch
    except StageError:
        for run_id, stage in watch.failed:
            click.echo(_last_words(opened, run_id, stage), nl=False, err=True)
        raise


def _last_words(opened: Opened, run_id: str, stage: str) -> str:
    try:
        printed = b"".join(logs(opened, opened.journal.get(run_id), stage, follow=False))
    except ShipwayError:
        return ""  # nothing is kept of it, or not any more
    lines = printed.decode(errors="replace").splitlines()[-_LAST_LINES:]
    return "".join(f"    {line}\n" for line in lines)


def _stages(number: int) -> str:
    return "1 stage" if number == 1 else f"{number} stages"


def exit_of(ended: Run) -> int:
    return 3 if ended.state is RunState.HELD else 0
