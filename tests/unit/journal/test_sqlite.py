"""What only the SQLite journal does: its file, its locks, its errors in words."""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from datetime import timedelta
from pathlib import Path

import pytest

from shipway.errors import CorruptError, LeaseLostError, ShipwayError, UnavailableError, UnsupportedError, UsageError
from shipway.journal.base import Journal
from shipway.journal.sql import SqlJournal, open_journal
from shipway.journal.sqlite import SqliteDatabase, explained
from shipway.specs.runs import Run
from shipway.specs.trees import digest_of


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "new" / "directory" / "journal.db"


def run(name: str) -> Run:
    return Run(id=name, project="p", plan=digest_of(b""), request={}, created=1.0)


def test_a_path_may_be_text_or_a_path(path: Path) -> None:
    for location in (path, str(path)):
        open_journal(location).close()
    assert path.is_file()


def test_a_url_of_another_database_is_refused() -> None:
    with pytest.raises(UsageError, match="mysql"):
        open_journal("mysql://host/db")


def test_neither_connector_loads_the_other(path: Path) -> None:
    code = f"import sys; from shipway.journal.sql import open_journal; open_journal({str(path)!r}).list(); print('psycopg' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "False\n"


def test_commits_are_on_disk_before_they_return(path: Path) -> None:
    open_journal(path).close()
    connection = SqliteDatabase(path).connect()
    assert connection.rows("PRAGMA journal_mode")[0][0] == "wal"
    assert connection.rows("PRAGMA synchronous")[0][0] == 2
    connection.close()


def test_a_closed_journal_leaves_one_file(path: Path) -> None:
    journal = open_journal(path)
    journal.create(run("r1"))
    journal.close()
    assert [file.name for file in path.parent.iterdir()] == ["journal.db"]


def test_threads_give_their_connections_back(path: Path) -> None:
    journal = open_journal(path)
    for _ in range(5):
        thread = threading.Thread(target=journal.list)
        thread.start()
        thread.join()
    if Path("/proc/self/fd").exists():
        held = [
            os.readlink(f"/proc/self/fd/{fd}")
            for fd in os.listdir("/proc/self/fd")
            if os.path.lexists(f"/proc/self/fd/{fd}")
        ]
        assert held.count(str(path)) == 1
    journal.close()


def test_a_forked_child_uses_connections_of_its_own(path: Path) -> None:
    code = (
        "import os, sys; from shipway.journal.sql import open_journal\n"
        "from shipway.testing.journal_racer import sample_run\n"
        "journal = open_journal(sys.argv[1]); journal.create(sample_run('parent'))\n"
        "before, child = journal._database._idle[0], os.fork()\n"
        "if child == 0:\n"
        "    journal.create(sample_run('child'))\n"
        "    os._exit(7 if before in journal._database._idle else 0)\n"
        "assert os.waitpid(child, 0)[1] == 0; journal.create(sample_run('after'))"
    )
    subprocess.run([sys.executable, "-c", code, path], check=True)
    journal = open_journal(path)
    assert {found.id for found in journal.list()} == {"parent", "child", "after"}
    journal.close()


def test_the_switch_to_a_log_waits_for_a_writer(path: Path) -> None:
    path.parent.mkdir(parents=True)
    writer = sqlite3.connect(path, isolation_level=None)
    writer.execute("CREATE TABLE old_ways (x)")
    writer.execute("BEGIN IMMEDIATE")
    opened: list[Journal] = []
    thread = threading.Thread(target=lambda: opened.append(open_journal(path)))
    thread.start()
    thread.join(timeout=0.1)
    writer.execute("COMMIT")
    writer.close()
    thread.join()
    assert opened[0].list() == []
    opened[0].close()


def test_a_lease_ends_by_the_clock(path: Path) -> None:
    now = [1000.0]
    journal = open_journal(path, clock=lambda: now[0])
    lease = journal.claim("run/r1", "driver", timedelta(seconds=10))
    now[0] = 1009.9
    assert journal.holder("run/r1") == lease
    assert journal.renew(lease, timedelta(seconds=10)).expires == 1019.9
    now[0] = 1019.9
    assert journal.holder("run/r1") is None
    with pytest.raises(LeaseLostError, match="has ended"):
        journal.record(lease, "pack", 1)
    journal.close()


def test_a_transaction_that_fails_leaves_nothing(path: Path) -> None:
    journal = open_journal(path)
    journal.create(run("r1"))
    lease = journal.claim("run/r1", "driver", timedelta(hours=1))
    with pytest.raises(TypeError):
        journal.record(lease, "pack", object())  # type: ignore[arg-type]  # no JSON
    assert journal.steps("r1") == {}
    assert journal.record(lease, "pack", 1) == 1
    journal.close()


def test_a_process_killed_inside_a_transaction_leaves_nothing_of_it(path: Path) -> None:
    journal = open_journal(path)
    journal.create(run("r1"))
    code = (
        "import sys, time; from pathlib import Path; from shipway.journal.sqlite import SqliteDatabase\n"
        "with SqliteDatabase(Path(sys.argv[1])).writing() as transaction:\n"
        "    transaction.change('UPDATE shipway_run SET project = ?', 'half')\n"
        "    print('inside', flush=True); time.sleep(60)"
    )
    writer = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    assert writer.stdout.readline() == "inside\n"
    writer.send_signal(signal.SIGKILL)
    writer.communicate()
    assert journal.list(project="half") == []
    journal.create(run("r2"))
    journal.close()


def test_a_writer_that_does_not_let_go_is_an_error_that_may_pass(path: Path) -> None:
    open_journal(path).close()
    other = SqliteDatabase(path).connect()
    other.begin(write=True)
    journal = SqlJournal(SqliteDatabase(path, patience=0.01))
    with pytest.raises(UnavailableError, match=r"journal\.db is locked") as caught:
        journal.create(run("r1"))
    assert caught.value.transient
    assert journal.list() == []  # readers do not wait for writers
    other.close()
    journal.create(run("r1"))
    journal.close()


@pytest.mark.parametrize(
    "content",
    [b"this is no database, but long enough to be taken for one" * 20, b"SQLite format 3\x00" + b"\xff" * 4096],
)
def test_a_damaged_file_is_named_with_what_to_do(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    with pytest.raises(CorruptError, match=r"journal\.db") as caught:
        open_journal(path)
    assert "move it away" in str(caught.value.hint)
    assert path.read_bytes() == content


def test_a_page_damaged_later_is_told_when_it_is_read(path: Path) -> None:
    journal = open_journal(path)
    for number in range(200):
        journal.create(run(f"r{number}"))
    journal.close()
    data = bytearray(path.read_bytes())
    data[4096:] = b"\xff" * (len(data) - 4096)
    path.write_bytes(data)
    with pytest.raises(CorruptError, match=r"journal\.db"):
        open_journal(path).list()


def test_an_empty_file_becomes_a_journal(path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.touch()
    journal = open_journal(path)
    assert journal.list() == []
    journal.close()


def test_a_newer_journal_is_refused(path: Path) -> None:
    open_journal(path).close()
    raw = sqlite3.connect(path)
    with raw:
        raw.execute("UPDATE shipway_schema SET version = 99")
    raw.close()
    with pytest.raises(UnsupportedError, match=r"newer Shipway.*99") as caught:
        open_journal(path)
    assert "upgrade" in str(caught.value.hint)


def test_a_directory_is_no_journal(tmp_path: Path) -> None:
    with pytest.raises(ShipwayError, match="cannot be opened"):
        open_journal(tmp_path)


def test_a_place_below_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ShipwayError, match="file"):
        open_journal(tmp_path / "file" / "journal.db")


@pytest.mark.parametrize(
    ("code", "words", "transient"),
    [
        (sqlite3.SQLITE_FULL, "disk is full", False),
        (sqlite3.SQLITE_READONLY, "read-only", False),
        (sqlite3.SQLITE_READONLY_DIRECTORY, "read-only", False),
        (sqlite3.SQLITE_BUSY_SNAPSHOT, "locked", True),
        (sqlite3.SQLITE_IOERR_FSYNC, "cannot be read or written", True),
        (sqlite3.SQLITE_CORRUPT, "damaged", False),
        (sqlite3.SQLITE_TOOBIG, "too big", False),
    ],
)
def test_sqlites_errors_have_words(code: int, words: str, transient: bool) -> None:
    error = sqlite3.OperationalError("string or blob too big")
    error.sqlite_errorcode = code
    told = explained(error, Path("/project/.shipway/journal.db"))
    assert words in told.message
    assert "/project/.shipway/journal.db" in told.message
    assert told.transient is transient


def test_a_full_disk_is_told_and_the_journal_goes_on_once_there_is_room(path: Path) -> None:
    journal = open_journal(path)
    journal.create(run("r1"))
    database = journal._database  # type: ignore[attr-defined]  # the limit can be set on its connection only
    with database.reading() as transaction:
        transaction.rows("PRAGMA max_page_count = 1")
    big = Run(id="r2", project="p", plan=digest_of(b""), request={"text": "x" * 1_000_000}, created=1.0)
    with pytest.raises(ShipwayError, match="disk is full"):
        journal.create(big)
    with database.reading() as transaction:
        transaction.rows("PRAGMA max_page_count = 100000")
    journal.create(big)
    assert journal.get("r2") == big
    journal.close()
