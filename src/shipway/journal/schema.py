"""The journal's tables, made once, and the version that they carry."""

from shipway.errors import UnsupportedError
from shipway.journal.database import Database, Transaction

VERSION = 1
"""Raised by one with each change of the tables; a step that brings older ones up then stands here."""

_VERSION_TABLE = "shipway_schema"

# `body`, `value` and `data` are JSON; what queries look for stands in columns of its own.
# The prefix lets a PostgreSQL database be shared with others.
_TABLES = (
    "CREATE TABLE shipway_schema (version INTEGER NOT NULL)",
    """CREATE TABLE shipway_run (
        seq {serial}, id TEXT NOT NULL UNIQUE, project TEXT NOT NULL, state TEXT NOT NULL,
        created DOUBLE PRECISION NOT NULL, body TEXT NOT NULL)""",
    "CREATE INDEX shipway_run_created ON shipway_run (created, seq)",
    "CREATE INDEX shipway_run_project ON shipway_run (project, created, seq)",
    """CREATE TABLE shipway_stage (
        seq {serial}, run TEXT NOT NULL, name TEXT NOT NULL, state TEXT NOT NULL, key TEXT, job TEXT,
        body TEXT NOT NULL, UNIQUE (run, name))""",
    "CREATE INDEX shipway_stage_name ON shipway_stage (name, seq)",
    """CREATE TABLE shipway_job (
        seq {serial}, id TEXT NOT NULL UNIQUE, run TEXT NOT NULL, key TEXT NOT NULL, state TEXT NOT NULL,
        body TEXT NOT NULL)""",
    "CREATE INDEX shipway_job_run ON shipway_job (run)",
    "CREATE INDEX shipway_job_key ON shipway_job (key)",
    """CREATE TABLE shipway_lease (
        name TEXT PRIMARY KEY, owner TEXT NOT NULL, epoch BIGINT NOT NULL, expires DOUBLE PRECISION NOT NULL)""",
    """CREATE TABLE shipway_step (
        seq {serial}, run TEXT NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL, UNIQUE (run, name))""",
    """CREATE TABLE shipway_event (
        seq {serial}, run TEXT NOT NULL, at DOUBLE PRECISION NOT NULL, kind TEXT NOT NULL, data TEXT NOT NULL)""",
    "CREATE INDEX shipway_event_run ON shipway_event (run, seq)",
    """CREATE TABLE shipway_parcel (
        seq {serial}, run TEXT NOT NULL, once TEXT NOT NULL, kind TEXT NOT NULL, data TEXT NOT NULL,
        sent DOUBLE PRECISION, UNIQUE (run, once))""",
    "CREATE INDEX shipway_parcel_unsent ON shipway_parcel (seq) WHERE sent IS NULL",
)


def prepare(database: Database) -> None:
    """Make the tables if they aren't there. Raises UnsupportedError where a newer Shipway made them."""
    with database.reading() as transaction:
        version = _version(database, transaction)
    if version is None:
        version = _make(database)
    if version > VERSION:
        raise UnsupportedError(
            f"the journal was written by a newer Shipway (its tables have version {version}, this one knows {VERSION})",
            hint="upgrade shipway, or name another journal",
        )


def _make(database: Database) -> int:
    with database.writing() as transaction:
        database.lock_schema(transaction)
        version = _version(database, transaction)
        if version is not None:  # another process was faster
            return version
        for statement in _TABLES:
            transaction.change(statement.format(serial=database.serial))
        transaction.change("INSERT INTO shipway_schema (version) VALUES (?)", VERSION)
    return VERSION


def _version(database: Database, transaction: Transaction) -> int | None:
    if not database.exists(transaction, _VERSION_TABLE):
        return None
    return int(transaction.rows("SELECT version FROM shipway_schema")[0][0])
