"""`shipway demo`."""

import shutil
import sys
from pathlib import Path
from shlex import quote

import click

from shipway.app import demo, running, serving
from shipway.app.opened import Opened
from shipway.cli.endpoints import print_answer
from shipway.cli.options import as_json
from shipway.cli.output import print_json, seconds
from shipway.cli.run import watching
from shipway.delivery.predict import predict
from shipway.delivery.ship import model_of
from shipway.specs.runs import RunState, StageState

_PICTURE = "data/raw/7"


def command() -> str:
    """How the one at the keyboard can call Shipway: by its name where PATH finds this very program, else as it was called."""
    called, found = Path(sys.argv[0]), shutil.which("shipway")
    is_found = found is not None and called.exists() and Path(found).samefile(called)
    return "shipway" if is_found else quote(str(called))


@click.command("demo")
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path), default=Path("shipway-demo"))
@as_json
def demo_command(directory: Path, json: bool) -> int:
    """
    Ship a small real project from end to end, in a new directory: 1,797 handwritten digits become a model that answers.

    A second demo in the same directory shows that nothing is computed twice.
    """
    fresh = demo.prepare(directory)
    click.echo(f"{'copied the digits example to' if fresh else 'using the demo in'} {directory}", err=json)
    shipway = command()
    click.echo(f"$ {shipway} ship -C {quote(str(directory))}", err=json)
    opened = Opened(directory)
    with watching(opened, json=json) as watch:
        report = running.run(opened, running.Request(verb="ship"), watch)
    if report.run.state is RunState.HELD:
        if json:
            print_json(report)
        return 3
    cached = sum(row.state is StageState.CACHED for row in report.stages)
    took = seconds((report.run.ended or 0.0) - report.run.created)
    spec = serving.the_endpoint(opened, None)
    url, picture = serving.url(opened, spec), min((directory / _PICTURE).glob("*.png"))
    answer = predict(url, model_of(opened.project).name, picture)
    if json:
        print_json({"report": report, "url": url, "picture": str(picture), "answer": answer})
        return 0
    click.echo(f"shipped in {took}; {cached} of {len(report.stages)} stages came from the store")
    project = f"-C {quote(str(directory))}"
    click.echo(f"\n$ {shipway} predict {project} {spec.name} -f {quote(str(picture))}")
    print_answer(answer)
    click.echo(f"\nserving at    {url}   (open it and choose a picture of your own)")
    click.echo(f"what was run  {shipway} show {project}")
    click.echo(f"stop it all   {shipway} endpoints {project} --remove {spec.name}")
    return 0
