"""`shipway track` and `shipway ui`."""

from pathlib import Path

import click

from shipway.app import upkeep
from shipway.app.opened import Opened
from shipway.cli.options import as_json, in_project
from shipway.cli.output import print_json, things


@click.command("track")
@click.option("--flush", is_flag=True, help="Send it now; without this it is only counted.")
@in_project
@as_json
def track_command(directory: Path, json: bool, flush: bool) -> int:
    """Send what the tracker has not been told yet, because it did not answer then. Exit code 4 if something is left."""
    opened = Opened(directory)
    if not flush:
        waiting = len(opened.journal.parcels())
        if json:
            print_json({"waiting": waiting})
        else:
            click.echo(f"{things(waiting)} to tell the tracker" + ("; --flush does it" if waiting else ""))
        return 0
    done = upkeep.flush(opened, lambda sent, total: None)
    if json:
        print_json(done)
    else:
        click.echo(f"sent {done.sent}, left {done.left}" + (f": {done.error}" if done.error else ""))
    return 4 if done.left and done.error else 0


@click.command("ui")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=click.IntRange(0, 65535), default=5000, show_default=True, help="0: any free one.")
@in_project
@as_json
def ui_command(directory: Path, json: bool, host: str, port: int) -> None:
    """Open MLflow's own pages on the project's runs, until Ctrl-C."""
    from shipway.tracking.ui import serve_ui

    opened = Opened(directory)
    with serve_ui(opened.project.tracking, home=opened.home, host=host, port=port) as ui:
        if json:
            print_json({"url": ui.url})
        else:
            click.echo(f"{ui.url}   (Ctrl-C ends it)")
        ui.wait()
