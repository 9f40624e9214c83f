"""The journal's conformance suite on a real PostgreSQL server, and what only that one does."""

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from shipway.testing.journal_conformance import JournalConformance

LAB = Path(__file__).parents[2] / "lab" / "postgres.py"
MISSING = 3

pytestmark = pytest.mark.lab


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """The URL of a server that ends with the tests."""
    process = subprocess.Popen(
        [sys.executable, LAB], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    url = process.stdout.readline().strip()
    if not url:
        _, errors = process.communicate()
        if process.returncode == MISSING and os.environ.get("CI") != "true":
            pytest.skip(errors.strip())
        pytest.fail(errors)
    yield url
    process.communicate(timeout=60)


@pytest.fixture
def location(server: str) -> str:
    """A schema of its own for each test: as good as a database, and made faster."""
    import psycopg

    name = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {name}".encode())
    return f"{server}?options=-csearch_path%3D{name}"


class TestPostgresJournal(JournalConformance):
    @pytest.fixture
    def location(self, location: str) -> str:
        return location
