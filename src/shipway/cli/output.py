"""How results look: JSON for machines, plain lines for files, colours and live progress for people at a terminal."""

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click
import msgspec

from shipway.specs.runs import Event


def print_json(value: Any) -> None:
    click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2))  # bytes: JSON is UTF-8 wherever it is read


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns as wide as their widest cell; the last one is not padded."""
    lines = [head, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    for number, line in enumerate(lines):
        padded = [cell.ljust(width) for cell, width in zip(line[:-1], widths[:-1], strict=True)]
        text = "  ".join([*padded, line[-1]]).rstrip()
        click.echo(click.style(text, dim=True) if number == 0 else text)


def seconds(duration: float | None) -> str:
    if duration is None:
        return ""
    if duration < 60:
        return f"{duration:.1f} s"
    minutes, rest = divmod(round(duration), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def things(number: int) -> str:
    return "1 thing" if number == 1 else f"{number} things"


def moment(at: float | None) -> str:
    return "" if at is None else time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))


_MARKS = {
    "running": ("▸", "cyan"),
    "succeeded": ("✓", "green"),
    "cached": ("✓", "green"),
    "failed": ("✗", "red"),
    "cancelled": ("✗", "yellow"),
    "skipped": ("–", "bright_black"),
    "held": ("■", "yellow"),
    "waiting": ("·", "bright_black"),
}


def mark(state: str) -> str:
    sign, colour = _MARKS.get(state, ("·", "white"))
    return click.style(sign, fg=colour)


class Lines:
    """Shows a run as it happens, a line for each thing that a person wants to know, on stderr so that stdout stays for results."""

    def __init__(self) -> None:
        self._texts = _TEXTS
        self._began: dict[str, float] = {}
        self.failed: list[tuple[str, str]] = []
        """Run and stage of each stage that failed."""

    def __call__(self, event: Event) -> None:
        if event.kind == "job":
            self._began[str(event.data["stage"])] = event.at  # not earlier: making its environment is not its time
        if event.kind == "stage":
            self._stage(event)
        elif (text := self._texts.get(event.kind)) is not None:
            self.say(text(event.data))

    def say(self, text: str) -> None:
        click.echo(text, err=True)

    def _stage(self, event: Event) -> None:
        name, state = str(event.data["stage"]), str(event.data["state"])
        if state == "running":
            self._began[name] = event.at
            return
        if state == "failed":
            self.failed.append((event.run, name))
        took = f"  {seconds(event.at - self._began[name])}" if name in self._began and state == "succeeded" else ""
        reason = f"  {event.data['reason']}" if "reason" in event.data else ""
        self.say(f"{mark(state)} {name}: {state}{took}{reason}")


def verdict_lines(data: Mapping[str, Any]) -> str:
    versus = f" against champion {data['champion']}" if data["champion"] else ""
    lines = [f"{mark(_OUTCOMES[data['outcome']])} gate: {data['outcome']}{versus}"]
    for condition in data["conditions"]:
        numbers = [f"{condition[side]:.6g}" for side in ("left", "right") if condition[side] is not None]
        shown = f"  ({', '.join(numbers)})" if numbers else ""
        note = f"  {condition['note']}" if condition["note"] else ""
        lines.append(f"    {mark(_OUTCOMES[condition['outcome']])} {condition['text']}{shown}{note}")
    return "\n".join(lines)


def _released(data: Mapping[str, Any]) -> str:
    checked = "answers verified against the offline predictions" if data["verified"] else "no samples to verify it by"
    return f"{mark('succeeded')} endpoint {data['endpoint']}: {data['revision']} serves at {data['url']}, {checked}"


_OUTCOMES = {"open": "succeeded", "held": "held", "error": "failed"}

_TEXTS: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "verdict": verdict_lines,
    "registered": lambda data: f"{mark('succeeded')} registered: {data['model']} version {data['version']}",
    "released": _released,
    "rolled back": lambda data: f"{mark('failed')} endpoint {data['endpoint']}: rolled back to {data['revision']}",
    "superseded": lambda data: (
        f"  {data['revision'] or 'nothing'} serves at {data['endpoint']} by now, so the champion stays"
    ),
    "not rolled back": lambda data: f"{mark('failed')} endpoint {data['endpoint']}: {data['error']}",
    "tracking away": lambda data: f"  the tracker does not answer ({data['reason']}); what it has to be told is kept",
    "tracking dropped": lambda data: f"  the tracker takes no {data['kind']}: {data['reason']}",
    "job": lambda data: f"{mark('running')} {data['stage']}: job {data['job'][:12]} on {data['site']}",
    "moved aside": lambda data: f"  moved aside what was in the way: {', '.join(data['paths'])} → {data['to']}",
    "tracking left": lambda data: (
        f"  {things(data['parcels'])} could not be told to the tracker yet; `shipway track --flush` does so later"
    ),
    "note": lambda data: f"  {data['text']}",
}


class Live(Lines):
    """The same lines, with the stages that run right now and their times kept in sight below them."""

    def __init__(self) -> None:
        super().__init__()
        self._texts = {kind: text for kind, text in _TEXTS.items() if kind != "job"}  # the live line says it
        from rich.console import Console
        from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            transient=True,
            redirect_stdout=False,
        )
        self._tasks: dict[str, Any] = {}

    def __enter__(self) -> "Live":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def __call__(self, event: Event) -> None:
        name, state = str(event.data.get("stage")), event.data.get("state")
        if event.kind == "stage" and state == "running":
            self._tasks[name] = self._progress.add_task(name)
        elif event.kind == "stage" and name in self._tasks:
            self._progress.remove_task(self._tasks.pop(name))
        super().__call__(event)

    def say(self, text: str) -> None:
        """Above the live lines. (click would write past rich to the terminal itself, into the middle of a live line.)"""
        from rich.text import Text

        self._progress.console.print(Text.from_ansi(text), soft_wrap=True)


class Quiet:
    failed: Sequence[tuple[str, str]] = ()

    def __call__(self, event: Event) -> None:
        """Nothing to see."""

    def __enter__(self) -> "Quiet":
        return self

    def __exit__(self, *_: object) -> None:
        return None


class Plain(Lines):
    def __enter__(self) -> "Plain":
        return self

    def __exit__(self, *_: object) -> None:
        return None


Watch = Quiet | Plain | Live


def progress(*, json: bool) -> Watch:
    """What shows a run: nothing beside JSON, live at a terminal, else plain lines."""
    if json:
        return Quiet()
    return Live() if sys.stderr.isatty() else Plain()
