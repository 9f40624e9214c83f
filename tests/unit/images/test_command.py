"""Installer commands end in time, keep their output, and show no credentials."""

import os
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from shipway.errors import BuildError
from shipway.images.command import Command, run


def command(tmp_path: Path, script: str, *more: str, limit: float = 60) -> Command:
    return Command(
        what="do it",
        argv=[sys.executable, "-c", script, *more],
        cwd=tmp_path,
        log=tmp_path / "logs" / "log",
        env=dict(os.environ),
        limit=timedelta(seconds=limit),
    )


def test_output_goes_to_the_log_which_is_private(tmp_path: Path) -> None:
    run(command(tmp_path, "import sys; print('out', flush=True); print('err', file=sys.stderr)"))
    log = tmp_path / "logs" / "log"
    assert log.read_text().splitlines()[-2:] == ["out", "err"]
    assert log.stat().st_mode & 0o777 == 0o600


def test_a_failure_carries_the_last_lines_and_where_the_rest_is(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="could not do it") as caught:
        run(command(tmp_path, "print(*range(100), sep='\\n'); raise SystemExit(3)"))
    assert "\n99" in caught.value.message
    assert "\n50\n" not in caught.value.message
    assert str(tmp_path / "logs" / "log") in str(caught.value.hint)


def test_credentials_are_in_neither_log_nor_error(tmp_path: Path) -> None:
    url = "https://alice:s3cret@example.org/simple"
    with pytest.raises(BuildError) as caught:
        run(command(tmp_path, "import sys; print('at', sys.argv[1]); sys.exit(1)", url))
    told = caught.value.message + str(caught.value.hint) + (tmp_path / "logs" / "log").read_text()
    assert "s3cret" not in told
    assert "https://***@example.org" in told


def test_a_command_that_takes_too_long_is_ended_with_all_it_started(tmp_path: Path) -> None:
    script = "import subprocess, time; subprocess.Popen(['sh', '-c', 'sleep 10; touch survived']); time.sleep(60)"
    with pytest.raises(BuildError, match="not done after"):
        run(command(tmp_path, script, limit=0.3))  # it returns when nobody has its output open any more
    assert not (tmp_path / "survived").exists()


def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    absent = command(tmp_path, "")
    with pytest.raises(BuildError, match="/no/such/program"):
        run(Command(what="x", argv=["/no/such/program"], cwd=tmp_path, log=absent.log, env={}, limit=absent.limit))


def test_a_known_failure_gets_its_own_hint(tmp_path: Path) -> None:
    with pytest.raises(BuildError) as caught:
        run(command(tmp_path, "raise SystemExit('ERROR: No matching distribution found for numpyy')"))
    assert "--index-url" in str(caught.value.hint)
