"""`shipway demo`."""

from pathlib import Path

import click

from shipway.app import demo, running, serving
from shipway.app.opened import Opened
from shipway.cli.endpoints import print_answer
from shipway.cli.options import as_json
from shipway.cli.output import print_json, progress, seconds
from shipway.delivery.predict import predict
from shipway.delivery.ship import model_of
from shipway.specs.runs import RunState, StageState

_PICTURE = "data/raw/7"


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
    click.echo(f"$ shipway ship -C {directory}", err=json)
    opened = Opened(directory)
    with progress(json=json) as watch:
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
    click.echo(f"\n$ shipway predict {spec.name} -f {picture}")
    print_answer(answer)
    click.echo(f"\nserving at   {url}   (open it and draw on a picture of your own)")
    click.echo(f"what was run  shipway show -C {directory}")
    click.echo(f"stop it all   shipway endpoints -C {directory} --remove {spec.name}")
    return 0
