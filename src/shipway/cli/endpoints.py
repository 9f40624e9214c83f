"""`shipway endpoints`, `predict` and `rollback`."""

import sys
from pathlib import Path

import click
import msgspec

from shipway.app import serving
from shipway.app.opened import Opened
from shipway.cli.options import as_json, in_project
from shipway.cli.output import mark, moment, print_json, table
from shipway.delivery.predict import Answer, predict
from shipway.delivery.ship import model_of
from shipway.specs.releases import RevisionState, Rollout

_MARKS = {RevisionState.SERVING: "succeeded", RevisionState.FAILED: "failed", RevisionState.ENDED: "skipped"}


@click.command("endpoints")
@click.option("--remove", metavar="ENDPOINT", help="End this endpoint and forget its revisions.")
@click.option("--logs", metavar="ENDPOINT", help="Print what its serving revision prints.")
@click.option("-f", "--follow", is_flag=True, help="With --logs: go on until it ends.")
@in_project
@as_json
def endpoints_command(directory: Path, json: bool, remove: str | None, logs: str | None, follow: bool) -> None:
    """Show where models serve: each endpoint's URL and its revisions, newest first."""
    opened = Opened(directory)
    if remove is not None:
        serving.remove(opened, remove)
        click.echo(f"endpoint {remove} is removed", err=json)
    if logs is not None:
        lines = opened.endpoint(opened.endpoint_spec(logs)).logs(follow=follow)
        if json:
            print_json({"endpoint": logs, "text": b"".join(lines).decode(errors="replace")})
            return
        for line in lines:
            sys.stdout.buffer.write(line)
            sys.stdout.buffer.flush()
        return
    found = serving.rollouts(opened)
    if json:
        print_json(found)
        return
    for rollout in found:
        _print(rollout)


@click.command("predict")
@click.argument("endpoint", required=False)
@click.option(
    "-f",
    "--file",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A .json, .csv or picture file.",
)
@in_project
@as_json
def predict_command(directory: Path, json: bool, endpoint: str | None, file: Path) -> None:
    """Send a file to an endpoint and print the answer."""
    opened = Opened(directory)
    spec = serving.the_endpoint(opened, endpoint)
    answer = predict(serving.url(opened, spec), model_of(opened.project).name, file)
    if json:
        print_json(answer)
    else:
        print_answer(answer)


@click.command("rollback")
@click.argument("endpoint")
@click.argument("revision", required=False)
@in_project
@as_json
def rollback_command(directory: Path, json: bool, endpoint: str, revision: str | None) -> None:
    """Let an endpoint serve an earlier revision again: the one named, or the one before. It is verified like any other."""
    after = serving.roll_back_to(Opened(directory), endpoint, revision)
    if json:
        print_json(after)
    else:
        _print(after)


def print_answer(answer: Answer) -> None:
    """A line for each prediction (V1) or output (V2); on stderr who gave it."""
    for note in answer.notes:
        click.echo(note, err=True)
    for prediction in answer.predictions:
        text = prediction if isinstance(prediction, str) else msgspec.json.encode(prediction).decode()
        click.echo(text)
    if answer.revision is not None:
        click.echo(f"answered by {answer.revision}", err=True)


def _print(rollout: Rollout) -> None:
    click.echo(f"{rollout.endpoint}  {rollout.url or 'nothing serves'}")
    rows = [
        (
            f"  {mark(_MARKS.get(rev.state, 'running'))} {rev.name}",
            rev.state,
            f"{rev.model} {rev.version}",
            moment(rev.created),
            rev.reason or "",
        )
        for rev in rollout.revisions
    ]
    if rows:
        table(("    revision", "state", "model", "since", ""), rows)
