"""`shipway models` and `shipway promote`."""

from pathlib import Path

import click

from shipway.app import models
from shipway.app.opened import Opened
from shipway.cli.options import as_json, in_project
from shipway.cli.output import moment, print_json, table
from shipway.specs.models import CHAMPION


@click.command("models")
@in_project
@as_json
def models_command(directory: Path, json: bool) -> None:
    """List the versions of the project's model, newest first, with what they came from."""
    found = models.versions(Opened(directory))
    if json:
        print_json(found)
        return
    rows = [
        (
            f"{v.name} {v.version}",
            ", ".join(v.aliases),
            moment(v.created),
            v.triple.code.partition("+")[0][:12] + ("+dirty" if "+dirty" in v.triple.code else ""),
            v.run,
            ", ".join(f"{name} {value:.4g}" for name, value in list(v.metrics.items())[:3]),
        )
        for v in found
    ]
    table(("model", "alias", "registered", "code", "run", "metrics"), rows)


@click.command("promote")
@click.argument("version")
@click.option("--alias", default=CHAMPION, show_default=True, help="The alias to move.")
@in_project
@as_json
def promote_command(directory: Path, json: bool, version: str, alias: str) -> None:
    """Make a model version (a number, or an alias such as challenger) the champion. What serves is not touched."""
    found = models.promote(Opened(directory), version, alias)
    if json:
        print_json(found)
    else:
        click.echo(f"{found.name} version {found.version} is now the {alias}")
