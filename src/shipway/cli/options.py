"""Options that several verbs share."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from shipway.pipeline.graph import Selection

Command = Callable[..., Any]


def in_project(command: Command) -> Command:
    return click.option(
        "-C",
        "--directory",
        type=click.Path(exists=True, file_okay=False, path_type=Path),
        default=Path(),
        help="The project's directory, or one below it.  [default: here]",
    )(command)


def as_json(command: Command) -> Command:
    return click.option("--json", "json", is_flag=True, help="Print JSON.")(command)


def overriding(command: Command) -> Command:
    return click.option(
        "-P",
        "--set",
        "overrides",
        multiple=True,
        metavar="KEY=VALUE",
        help="Override a value of params.yaml: train.lr=0.1.",
    )(command)


def selecting(command: Command) -> Command:
    for name, text in (
        ("--force", "Run this stage even if its result is known."),
        ("--until", "Only this stage and what it needs."),
        ("--from", "Only this stage and what needs it."),
        ("--only", "Only this stage."),
    ):
        target = {"--from": "since"}.get(name, name.removeprefix("--"))
        command = click.option(name, target, multiple=True, metavar="STAGE", help=text)(command)
    return command


def selection(
    only: tuple[str, ...], since: tuple[str, ...], until: tuple[str, ...], force: tuple[str, ...]
) -> Selection:
    return Selection(only=only, since=since, until=until, force=force)
