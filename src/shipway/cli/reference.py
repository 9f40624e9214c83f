"""The page about all verbs, made from the commands themselves: `docs/cli.md`."""

import inspect
from collections.abc import Iterator

import click

from shipway.cli.main import shipway


def reference() -> str:
    """Markdown: a section for each verb with its usage, what it does, and its arguments and options."""
    root = click.Context(shipway, info_name="shipway")
    sections: list[str] = []
    for name in shipway.list_commands(root):
        command = shipway.get_command(root, name)
        assert command is not None
        sections.extend(_sections(command, click.Context(command, parent=root, info_name=name)))
    return "\n\n".join(sections)


def _sections(command: click.Command, context: click.Context) -> Iterator[str]:
    words = inspect.cleandoc(command.help or "")
    heading = f"{'#' * context.command_path.count(' ')}# {context.command_path}"
    yield "\n\n".join([heading, _usage(command, context), words, *_table(command, context)])
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            yield from _sections(inner, click.Context(inner, parent=context, info_name=name))


def _usage(command: click.Command, context: click.Context) -> str:
    return f"```\n{' '.join([context.command_path, *command.collect_usage_pieces(context)])}\n```"


def _table(command: click.Command, context: click.Context) -> Iterator[str]:
    rows = [record for param in command.params if (record := param.get_help_record(context)) is not None]
    if rows:
        lines = [f"| `{_cell(name)}` | {_cell(text)} |" for name, text in rows]
        yield "\n".join(["| option | what it does |", "|---|---|", *lines])


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
