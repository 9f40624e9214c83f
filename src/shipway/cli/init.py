"""`shipway init`."""

from pathlib import Path

import click

from shipway.cli.options import in_project


@click.command("init")
@in_project
def init_command(directory: Path) -> None:
    """Write a commented shipway.yaml with the stages that can be guessed from the files. It never overwrites one."""
    from shipway.config.guess import init_project

    written = init_project(directory.absolute())
    click.echo(f"wrote {written.name}; read it, then: shipway check")
