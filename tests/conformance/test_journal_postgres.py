"""The journal's conformance suite on a real PostgreSQL server, and what only that one does."""

import os
import re
import subprocess
import sys
import traceback
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from shipway.errors import AuthError, ConfigError, UnavailableError, UnsupportedError
from shipway.journal.sql import open_journal
from shipway.testing.journal_conformance import JournalConformance
from shipway.testing.journal_machine import JournalMachine
from shipway.testing.journal_racer import LONG, sample_run

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


def sql(url: str, statement: str) -> list[Any]:
    """What an administrator would type."""
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


@pytest.fixture
def location(server: str) -> str:
    return new_schema(server)


def new_schema(server: str) -> str:
    """The URL of a schema of its own: as good as a database, and made faster."""
    name = f"test_{uuid.uuid4().hex}"
    sql(server, f"CREATE SCHEMA {name}")
    return f"{server}?options=-csearch_path%3D{name}"


class TestPostgresJournal(JournalConformance):
    @pytest.fixture
    def location(self, location: str) -> str:
        return location


def cut_all(url: str) -> None:
    """End all connections but our own, as a restarted server or an idle time-out does."""
    sql(url, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'shipway'")


@pytest.mark.slow
def test_postgres_does_what_the_model_does(server: str) -> None:
    run_state_machine_as_test(
        lambda: JournalMachine(lambda clock: open_journal(new_schema(server), clock=clock)),
        settings=settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck)),
    )


def test_a_connection_that_was_cut_while_idle_is_opened_again(location: str) -> None:
    journal = open_journal(location)
    journal.create(sample_run("r1"))
    cut_all(location)
    assert journal.get("r1") == sample_run("r1")
    journal.close()


def test_a_connection_that_is_cut_within_a_transaction_is_an_error_that_may_pass(location: str) -> None:
    journal = open_journal(location)
    database = journal._database  # type: ignore[attr-defined]  # nothing else is in the middle of a transaction

    def cut_within() -> None:
        with database.writing() as transaction:
            cut_all(location)
            transaction.rows("SELECT 1")

    with pytest.raises(UnavailableError) as caught:
        cut_within()
    assert caught.value.transient
    journal.create(sample_run("r1"))
    journal.close()


def test_leases_live_by_the_servers_clock(location: str, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = open_journal(location)
    monkeypatch.setattr("time.time", lambda: 0.0)
    lease = journal.claim("run/r1", "driver", LONG)
    ((now,),) = sql(location, "SELECT extract(epoch FROM clock_timestamp())::float8")
    assert 0 < lease.expires - LONG.total_seconds() <= now
    assert journal.holder("run/r1") == lease
    journal.close()


def test_a_clock_can_be_given(location: str) -> None:
    journal = open_journal(location, clock=lambda: 1000.0)
    assert journal.claim("run/r1", "driver", LONG).expires == 1000.0 + LONG.total_seconds()
    journal.close()


def test_a_process_killed_inside_a_transaction_leaves_nothing_of_it(location: str) -> None:
    journal = open_journal(location)
    journal.create(sample_run("r1"))
    lease = journal.claim("run/r1", "driver", LONG)
    code = (
        "import sys, time; from shipway.journal.postgres import PostgresDatabase\n"
        "with PostgresDatabase(sys.argv[1]).writing() as transaction:\n"
        "    transaction.rows('SELECT 1 FROM shipway_lease FOR UPDATE')\n"
        "    transaction.change('UPDATE shipway_run SET project = ?', 'half')\n"
        "    print('inside', flush=True); time.sleep(60)"
    )
    writer = subprocess.Popen([sys.executable, "-c", code, location], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    assert writer.stdout.readline() == "inside\n"
    writer.kill()
    writer.communicate()
    assert journal.record(lease, "pack", 1) == 1  # its locks went with it
    assert journal.list(project="half") == []
    journal.close()


def test_a_driver_stopped_inside_a_transaction_is_cut_off(location: str) -> None:
    journal = open_journal(location)
    database = journal._database  # type: ignore[attr-defined]  # the setting shows on its connections only
    with database.reading() as transaction:
        for name in ("statement_timeout", "idle_in_transaction_session_timeout"):
            assert transaction.rows("SELECT current_setting(?)", name)[0][0] == "30s"
    journal.close()


def test_a_newer_journal_is_refused(location: str) -> None:
    open_journal(location).close()
    sql(location, "UPDATE shipway_schema SET version = 99")
    with pytest.raises(UnsupportedError, match="99"):
        open_journal(location)


# Errors never show the password; these need no server but the first.


def shown(error: BaseException) -> str:
    return "".join(traceback.format_exception(error)) + repr(error) + str(getattr(error, "hint", ""))


def test_a_wrong_password_is_refused_and_not_shown(server: str) -> None:
    url = re.sub(r":[^:@]*@", ":wr0ng-s3cret@", server)
    with pytest.raises(AuthError, match="shipway") as caught:
        open_journal(url)
    assert not caught.value.transient
    assert "s3cret" not in shown(caught.value)


def test_the_password_is_in_no_repr(server: str) -> None:
    password = server.split(":")[2].split("@")[0]
    journal = open_journal(server)
    assert password not in repr(journal)
    assert ":***@127.0.0.1" in repr(journal)
    journal.close()


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://alice:s3cret-word@127.0.0.1:1/db",
        "postgresql://127.0.0.1:1/db?user=alice&password=s3cret-word",
        "postgresql://alice:s3cret%2Dword@127.0.0.1:1/db",
    ],
)
def test_a_server_that_is_not_there_is_an_error_that_may_pass(url: str) -> None:
    with pytest.raises(UnavailableError, match=r"127\.0\.0\.1") as caught:
        open_journal(url)
    assert caught.value.transient
    assert "s3cret" not in shown(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://alice:s3cret-word@127.0.0.1:notaport/db",
        "postgresql://alice:a@s3cret-word/x@127.0.0.1:1/db",
        "postgresql://alice:a/s3cret-word@127.0.0.1:1/db",
        "postgresql://alice:s3cret-word%zz@127.0.0.1:1/db",
        "postgresql://alice:s3cret-word@127.0.0.1:1/db?nosuch=1",
        "postgresql://alice:a:s3cret-word?x@127.0.0.1:1/db",
    ],
)
def test_a_url_that_is_none_is_an_error_without_the_password(url: str) -> None:
    with pytest.raises((ConfigError, UnavailableError)) as caught:
        open_journal(url)
    assert "s3cret" not in shown(caught.value)
