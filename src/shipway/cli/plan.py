"""`shipway plan`."""

from pathlib import Path

import click

from shipway.app.opened import Opened
from shipway.cli.options import as_json, in_project, overriding, selecting, selection
from shipway.cli.output import mark, print_json
from shipway.specs.stages import Hit

_WORDS = {Hit.HIT: "hit", Hit.MISS: "would run", Hit.WAITS: "waits"}
_MARKS = {Hit.HIT: "cached", Hit.MISS: "running", Hit.WAITS: "waiting"}


@click.command("plan")
@selecting
@overriding
@in_project
@as_json
def plan_command(directory: Path, json: bool, overrides: tuple[str, ...], **chosen: tuple[str, ...]) -> None:
    """Show for each stage whether its result is at hand, and if not, what changed since the last one."""
    planned = Opened(directory, overrides).planner.plan(selection(**chosen))
    if json:
        rows = [
            {"stage": p.stage, "state": p.state, "selected": p.selected, "key": p.key, "reasons": p.reasons}
            for p in planned.stages
        ]
        print_json({"plan": planned.digest, "stages": rows})
        return
    width = max(len(p.stage) for p in planned.stages)
    for p in planned.stages:
        first, *more = p.reasons or ("",)
        click.echo(f"{mark(_MARKS[p.state])} {p.stage.ljust(width)}  {_WORDS[p.state]:9}  {first}".rstrip())
        for reason in more:
            click.echo(f"  {' ' * width}  {'':9}  {reason}")
