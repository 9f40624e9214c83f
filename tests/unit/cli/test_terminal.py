"""How a run is shown: plain lines where nobody looks, live and coloured at a terminal, which is left as it was."""

import os
import pty
import select
import signal
import subprocess
import termios
from pathlib import Path
from typing import Any

import pytest

HIDE, SHOW, ESCAPE = b"\x1b[?25l", b"\x1b[?25h", b"\x1b["


class Terminal:
    """A pseudo-terminal with a command at it."""

    def __init__(self, shipway: Any, project: Path, *words: str) -> None:
        self.master, slave = pty.openpty()
        self.before = termios.tcgetattr(slave)
        self._slave = slave
        self.process = subprocess.Popen(
            ["setsid", "--ctty", "--wait", *shipway.argv, *words],
            cwd=project,
            env={**shipway.env, "TERM": "xterm"},
            stdin=slave,
            stdout=slave,
            stderr=slave,
        )
        self.seen = b""

    def read(self, until: bytes | None = None) -> bytes:
        """What the command has printed: all to its end, or to the first `until`."""
        while until is None or until not in self.seen:
            ready, _, _ = select.select([self.master], [], [], 0.05)
            if ready:
                self.seen += os.read(self.master, 65536)
            elif self.process.poll() is not None:
                break
        return self.seen

    def close(self) -> int:
        code = self.process.wait(timeout=60)
        assert termios.tcgetattr(self._slave) == self.before
        os.close(self._slave)
        os.close(self.master)
        return code


def test_no_terminal_gets_plain_lines_and_results_alone_on_standard_output(shipway: Any, tiny: Path) -> None:
    done = shipway(tiny, "run")
    assert done.returncode == 0
    assert ESCAPE.decode() not in done.stdout + done.stderr
    assert [line.split("  ")[0] for line in done.stderr.splitlines() if "✓" in line] == [
        "✓ one: succeeded",
        "✓ two: succeeded",
    ]
    assert done.stdout.count("\n") == 1


def test_a_terminal_shows_what_runs_and_is_left_as_it_was(shipway: Any, tiny: Path) -> None:
    terminal = Terminal(shipway, tiny, "run")
    seen = terminal.read()
    assert terminal.close() == 0
    assert b"one: succeeded" in seen
    assert b"\x1b[32m" in seen  # green
    assert seen.count(HIDE) == seen.count(SHOW) > 0
    assert seen.rindex(SHOW) > seen.rindex(HIDE)
    assert seen.rstrip().splitlines()[-1].startswith(b"run ")


def test_ctrl_c_at_a_terminal_ends_the_job_and_gives_the_cursor_back(shipway: Any, tiny: Path) -> None:
    file = (tiny / "shipway.yaml").read_text().replace("echo from one", "touch $PWD/begun; sleep 60")
    (tiny / "shipway.yaml").write_text(file)
    terminal = Terminal(shipway, tiny, "run")
    terminal.read(until=b"one")
    os.write(terminal.master, b"\x03")
    seen = terminal.read()
    assert terminal.close() == 130
    assert b"shipway: cancelled" in seen
    assert b"Traceback" not in seen
    assert seen.rindex(SHOW) > seen.rindex(HIDE)


def test_a_terminal_without_a_check_mark_shows_something_else(shipway: Any, tiny: Path) -> None:
    done = shipway(tiny, "run", PYTHONIOENCODING="latin-1")
    assert done.returncode == 0, done.stderr
    assert "? one: succeeded" in done.stderr


def test_a_reader_that_goes_away_is_no_fault_of_ours(shipway: Any, tiny: Path) -> None:
    assert shipway(tiny, "run").returncode == 0
    reading, writing = os.pipe()
    os.close(reading)
    process = subprocess.Popen(
        [*shipway.argv, "show"], cwd=tiny, env=shipway.env, stdout=writing, stderr=subprocess.PIPE, text=True
    )
    os.close(writing)
    _, err = process.communicate(timeout=60)
    assert err == ""
    assert process.returncode in (0, 1, -signal.SIGPIPE)


@pytest.mark.parametrize("verb", ["runs", "show", "plan", "check"])
def test_what_is_shown_is_plain_where_it_is_piped(verb: str, typed: Any, tiny: Path) -> None:
    assert typed(tiny, "run").code == 0
    said = typed(tiny, verb)
    assert (said.code, said.err) == (0, "")
    assert "one" in said.out or verb == "runs"
    assert ESCAPE.decode() not in said.out


def test_a_line_at_a_terminal_stands_on_its_own(shipway: Any, tiny: Path) -> None:
    terminal = Terminal(shipway, tiny, "run")
    seen = terminal.read()
    assert terminal.close() == 0
    said = next(line for line in seen.replace(b"\r\n", b"\n").split(b"\n") if b"one: succeeded" in line)
    assert said.rpartition(b"\x1b[2K")[2].replace(b"\x1b[0m", b"").startswith(b"\x1b[32m\xe2\x9c\x93")
