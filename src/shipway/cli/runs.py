"""`shipway runs`, `show`, `logs`, `cancel` and `resume`."""

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from shipway.app import running
from shipway.app.opened import Opened
from shipway.cli.options import as_json, in_project
from shipway.cli.output import mark, moment, print_json, seconds, table, verdict_lines
from shipway.cli.run import exit_of, watching
from shipway.specs.runs import Run, RunState, StageRow

_run = click.argument("run", required=False)


@click.command("runs")
@click.option(
    "-n", "--limit", type=click.IntRange(1, 1_000_000), default=20, show_default=True, help="How many, newest first."
)
@click.option("--reap", is_flag=True, help="End every run whose driver is gone, and its jobs.")
@in_project
@as_json
def runs_command(directory: Path, json: bool, limit: int, reap: bool) -> None:
    """List runs, newest first."""
    opened = Opened(directory)
    ended = running.reap(opened) if reap else []
    found = opened.journal.list(project=opened.project.name, limit=limit)
    if json:
        print_json({"runs": found, "reaped": [run.id for run in ended]})
        return
    for run in ended:
        click.echo(f"ended run {run.id}, whose driver was gone", err=True)
    rows = [
        (mark(run.state) + " " + run.id, _state(opened, run), _verb(run), moment(run.created), _took(run))
        for run in found
    ]
    table(("  run", "state", "verb", "began", "took"), rows)


@click.command("show")
@_run
@click.option(
    "--graph", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE.svg", help="Draw the graph as SVG."
)
@in_project
@as_json
def show_command(directory: Path, json: bool, run: str | None, graph: Path | None) -> None:
    """Show one run (the newest if none is named; the beginning of an id is enough): stages, states, times, delivery."""
    opened = Opened(directory)
    found = running.find_run(opened, run)
    report = running.report(opened, found.id)
    if graph is not None:
        from shipway.app.drawing import draw

        graph.write_text(draw(opened.planner.graph, report.stages), encoding="utf-8")
        click.echo(f"wrote {graph}", err=True)
    if json:
        print_json({**_builtins(report), "events": opened.journal.events(found.id)})
        return
    click.echo(f"run {found.id}  {_state(opened, found)}  began {moment(found.created)}  {_lasted(found)}".rstrip())
    if found.error:
        click.echo(f"  {found.error}")
    _print_graph(opened, report.stages)
    for step, value in report.steps.items():
        click.echo(_step(step, value))


@click.command("logs")
@_run
@click.argument("stage", required=False)
@click.option("-f", "--follow", is_flag=True, help="Go on until the stage ends.")
@in_project
@as_json
def logs_command(directory: Path, json: bool, run: str | None, stage: str | None, follow: bool) -> None:
    """Print what a stage printed. With one word it is a stage of the newest run, or else a run with its last stage."""
    opened = Opened(directory)
    if run is not None and stage is None and any(known.name == run for known in opened.project.stages):
        run, stage = None, run
    found = running.find_run(opened, run)
    rows = opened.journal.stages(found.id)
    name = stage or _last(rows)
    pieces = running.logs(opened, found, name, follow=follow)
    if json:
        print_json({"run": found.id, "stage": name, "text": b"".join(pieces).decode(errors="replace")})
        return
    for piece in pieces:
        sys.stdout.buffer.write(piece)
        if follow:
            sys.stdout.buffer.flush()


@click.command("cancel")
@_run
@in_project
@as_json
def cancel_command(directory: Path, json: bool, run: str | None) -> None:
    """Stop a run and its jobs; a run that has ended stays as it is."""
    opened = Opened(directory)
    found = running.cancel(opened, running.find_run(opened, run).id)
    if json:
        print_json(found)
    else:
        click.echo(f"run {found.id}: {'told to stop' if found.state is RunState.RUNNING else found.state}")


@click.command("resume")
@_run
@in_project
@as_json
def resume_command(directory: Path, json: bool, run: str | None) -> int:
    """Go on with a run whose driver died, the newest such run if none is named."""
    opened = Opened(directory)
    found = running.find_run(opened, run) if run else running.newest_left(opened)
    with watching(opened, json=json) as watch:
        report = running.resume(opened, found.id, watch)
    if json:
        print_json(report)
    else:
        click.echo(f"run {report.run.id} {report.run.state}")
    return exit_of(report.run)


def _builtins(report: running.Report) -> dict[str, object]:
    return {"run": report.run, "stages": report.stages, "steps": report.steps}


def _state(opened: Opened, run: Run) -> str:
    return "left alone" if running.driver_is_gone(opened, run) else str(run.state)


def _verb(run: Run) -> str:
    return str(run.request.get("verb", "run"))


def _took(run: Run) -> str:
    return seconds(None if run.ended is None else run.ended - run.created)


def _lasted(run: Run) -> str:
    return "" if run.ended is None else f"took {_took(run)}"


def _last(rows: Sequence[StageRow]) -> str:
    started = [row.name for row in rows if row.started is not None] or [row.name for row in rows]
    return started[-1] if started else "?"


def _print_graph(opened: Opened, rows: Sequence[StageRow]) -> None:
    needs = opened.planner.graph.needs
    width = max((len(row.name) for row in rows), default=0)
    for row in rows:
        after = ", ".join(sorted(needs.get(row.name, ())))
        took = seconds(row.ended - row.started) if row.started and row.ended and row.state == "succeeded" else ""
        line = (
            f"{mark(row.state)} {row.name.ljust(width)}  {row.state:9}  {took:>9}  {'after ' + after if after else ''}"
        )
        click.echo(line.rstrip())
        if row.reason:
            click.echo(f"  {row.reason}")


def _step(name: str, value: object) -> str:
    if name == "gate" and isinstance(value, dict):
        return verdict_lines(value["verdict"])
    return f"{mark('succeeded')} {name}{_short(value)}"


def _short(value: object) -> str:
    """What a delivery step gave, in a few words: a model version, a revision with its URL, or the plain value."""
    if not isinstance(value, dict):
        return "" if value is None else f": {value}"
    words = [str(value[name]) for name in ("name", "version", "revision", "url") if value.get(name) is not None]
    return ": " + " ".join(words) if words else ""
