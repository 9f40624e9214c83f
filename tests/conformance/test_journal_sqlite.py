"""The journal's conformance suite on SQLite."""

from pathlib import Path

import pytest

from shipway.testing.journal_conformance import JournalConformance


class TestSqliteJournal(JournalConformance):
    @pytest.fixture
    def location(self, tmp_path: Path) -> str:
        return str(tmp_path / "new" / "journal.db")
