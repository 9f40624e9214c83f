"""
The command `shipway`: finds the verb's module when it is called, turns errors into messages and exit codes.

Exit codes: 0 done, 1 failed, 2 wrong use, 3 held by the gate, 4 unreachable, 130 interrupted.
"""

import gc
import io
import signal
import sys
from importlib import import_module

import click

from shipway import __version__
from shipway.errors import ConfigError, NotFoundError, ShipwayError, UsageError

_VERBS = {
    "init": ("init", "Write a commented shipway.yaml for a project."),
    "check": ("check", "Check the project file and what it needs, before anything runs."),
    "plan": ("plan", "Show for each stage whether it would run, and why."),
    "run": ("run", "Make the model: run what has no result yet."),
    "ship": ("run", "Make the model and deliver it: gate, register, pack, roll out, verify."),
    "runs": ("runs", "List runs."),
    "show": ("runs", "Show one run: its graph, states and times."),
    "logs": ("runs", "Print what a stage printed."),
    "cancel": ("runs", "Stop a run and its jobs."),
    "resume": ("runs", "Go on with a run whose driver died."),
    "models": ("models", "List model versions."),
    "promote": ("models", "Make a model version the champion."),
    "endpoints": ("endpoints", "Show where models serve."),
    "predict": ("endpoints", "Send a file to an endpoint and print the answer."),
    "rollback": ("endpoints", "Let an endpoint serve an earlier revision again."),
    "store": ("store", "Look after the store: collect garbage, verify."),
    "track": ("track", "Send what the tracker has not been told yet."),
    "ui": ("track", "Open MLflow's own pages on the project's runs."),
    "demo": ("demo", "Ship a small real project from end to end, in a new directory."),
}


class _Verbs(click.Group):
    """Imports a verb's module only when that verb is called; help needs none of them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _VERBS:
            return None
        module = import_module(f"shipway.cli.{_VERBS[cmd_name][0]}")
        command: click.Command = getattr(module, f"{cmd_name}_command")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and args[0] not in _VERBS:
            from shipway.specs.nearest import suggestion

            ctx.fail(f"there is no verb {args[0]!r}{suggestion(args[0], _VERBS)}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Verbs"):
            formatter.write_dl([(name, text) for name, (_, text) in _VERBS.items()])


@click.command(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="shipway %(version)s")
def shipway() -> None:
    """From a commit to a served model, on the compute you already have."""


def main() -> None:
    """The entry point of the script `shipway`."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # who ends us so means what Ctrl-C means
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that knows no ✓ shows a question mark
    code = _exit_code()
    gc.freeze()  # or Python would take a loaded MLflow apart object by object, which takes most of a second
    sys.exit(code)


def _exit_code() -> int:
    try:
        code = shipway.main(standalone_mode=False)
        return code if isinstance(code, int) else 0
    except (click.exceptions.Abort, KeyboardInterrupt):
        return _say("cancelled", None, 130)
    except click.ClickException as error:
        error.show()
        return 2
    except ShipwayError as error:
        return _say(_told(error), error.hint, exit_code(error))
    except BrokenPipeError:
        sys.stderr.close()  # whoever read our output has gone; say nothing more
        return 0
    except OSError as error:
        place = "" if error.filename is None else f"{error.filename}: "
        return _say(f"{place}{error.strerror or error}", None, 1)


def exit_code(error: ShipwayError) -> int:
    if isinstance(error, UsageError | ConfigError | NotFoundError):
        return 2
    return 4 if error.transient else 1


def _told(error: ShipwayError) -> str:
    if isinstance(error, ConfigError) and len(error.problems) > 1:
        return "\n".join([f"{len(error.problems)} faults", *(f"  {problem}" for problem in error.problems)])
    return error.message


def _say(message: str, hint: str | None, code: int) -> int:
    click.echo(f"shipway: {message}", err=True)
    if hint is not None:
        click.echo(f"  hint: {hint}", err=True)
    return code
