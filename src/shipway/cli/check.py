"""`shipway check`."""

from pathlib import Path

import click

from shipway.app.checking import check
from shipway.app.opened import Opened
from shipway.cli.options import as_json, in_project, overriding
from shipway.cli.output import mark, print_json


@click.command("check")
@overriding
@in_project
@as_json
def check_command(directory: Path, json: bool, overrides: tuple[str, ...]) -> int:
    """Check the project file and everything that it needs, before anything runs. Exit code 2 if something is wrong."""
    findings = check(Opened(directory, overrides))
    wrong = [finding for finding in findings if finding.problem is not None]
    if json:
        print_json(findings)
        return 2 if wrong else 0
    for finding in findings:
        click.echo(f"{mark('failed' if finding.problem else 'succeeded')} {finding.what}")
        if finding.problem is not None:
            click.echo("".join(f"    {line}\n" for line in finding.problem.splitlines()), nl=False)
        if finding.hint is not None:
            click.echo(f"    hint: {finding.hint}")
    return 2 if wrong else 0
