"""Leases name processes so that a dead one is known to be dead."""

import os
import subprocess
import sys

from shipway.app.owner import is_dead, this_process


def test_this_process_lives() -> None:
    assert not is_dead(this_process().name)


def test_an_ended_process_is_dead() -> None:
    code = "from shipway.app.owner import this_process; print(this_process().name)"
    name = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert is_dead(name)


def test_another_process_with_the_same_number_is_not_the_owner() -> None:
    host, boot, pid, started = this_process().name.split("/")
    assert pid == str(os.getpid())
    assert is_dead(f"{host}/{boot}/{pid}/{int(started) + 1}")


def test_a_machine_that_was_started_again_has_no_old_processes() -> None:
    host, _, pid, started = this_process().name.split("/")
    assert is_dead(f"{host}/00000000/{pid}/{started}")


def test_an_owner_on_another_host_may_live() -> None:
    assert not is_dead("elsewhere/00000000/1/1")
    assert not is_dead("no such form")
