"""Journals against their model, over any sequence of calls."""

import tempfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from shipway.journal.base import Journal
from shipway.journal.sql import open_journal
from shipway.testing.journal_machine import JournalMachine


@pytest.mark.slow
def test_sqlite_does_what_the_model_does(tmp_path: Path) -> None:
    def open_new(clock: Callable[[], float]) -> Journal:
        return open_journal(Path(tempfile.mkdtemp(dir=tmp_path)) / "journal.db", clock=clock)

    run_state_machine_as_test(
        lambda: JournalMachine(open_new),
        settings=settings(
            max_examples=15,
            stateful_step_count=30,
            deadline=timedelta(seconds=30),
            suppress_health_check=list(HealthCheck),
        ),
    )
