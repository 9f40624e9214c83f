"""`shipway store`."""

from datetime import timedelta
from pathlib import Path

import click

from shipway.app import upkeep
from shipway.app.opened import Opened
from shipway.cli.options import as_json, in_project
from shipway.cli.output import print_json


@click.group("store")
def store_command() -> None:
    """Look after the store: collect garbage, verify."""


@store_command.command("gc")
@click.option("--delete", is_flag=True, help="Really remove it; without this it is only counted.")
@click.option(
    "--grace",
    type=click.FloatRange(0, 1_000_000),
    default=24.0,
    show_default=True,
    metavar="HOURS",
    help="Keep what is younger.",
)
@in_project
@as_json
def gc_command(directory: Path, json: bool, delete: bool, grace: float) -> None:
    """Remove what no result, no model, no run and no ref reaches."""
    report = upkeep.store_gc(Opened(directory), dry_run=not delete, grace=timedelta(hours=grace))
    if json:
        print_json(report)
        return
    verb = "removed" if delete else "would remove"
    parts = ", ".join(
        _count(number, noun)
        for number, noun in (
            (report.trees, "tree"),
            (report.objects, "object"),
            (report.packs, "pack"),
            (report.temporary, "left-over file"),
        )
    )
    click.echo(f"{verb} {parts}: {report.size / 1e6:.1f} MB")
    if not delete:
        click.echo("nothing was touched; --delete removes it", err=True)


@store_command.command("verify")
@click.option("--repair", is_flag=True, help="Take out what is damaged, so that the next run makes it again.")
@in_project
@as_json
def verify_command(directory: Path, json: bool, repair: bool) -> int:
    """Read everything again, name what is damaged. Exit code 1 if there is anything that was not repaired."""
    opened = Opened(directory)
    faults = list(upkeep.store_verify(opened))
    if repair and faults:
        upkeep.store_repair(opened, faults)
    if json:
        print_json(faults)
        return 1 if faults and not repair else 0
    for fault in faults:
        needed = f", needed by {_count(len(fault.trees), 'tree')}" if fault.trees else ""
        click.echo(f"{fault.kind} {fault.name}: {fault.problem}{needed}")
    click.echo("the store is sound" if not faults else _count(len(faults), "fault") + (" taken out" if repair else ""))
    if faults:
        said = (
            "the next run makes it again"
            if repair
            else "--repair takes out what is damaged; the next run makes it again"
        )
        click.echo(said, err=True)
    return 1 if faults and not repair else 0


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")
