"""`shipway init`."""

from pathlib import Path

import click

from shipway.cli.options import as_json, in_project
from shipway.cli.output import print_json


@click.command("init")
@in_project
@as_json
def init_command(directory: Path, json: bool) -> None:
    """Write a commented shipway.yaml with the stages that can be guessed from the files. It never overwrites one."""
    from shipway.config.guess import init_project

    written = init_project(directory.absolute())
    if json:
        print_json({"written": str(written)})
        return
    click.echo(f"wrote {written.name}; read it, put its outputs into .gitignore, then: shipway check")
