"""
The journal on PostgreSQL, for drivers on several machines; psycopg is imported with the first connection.

Leases live by the server's clock, so no driver's clock has to be right. A password in the URL stays out of every message and repr.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import unquote

from shipway.errors import AuthError, ConfigError, ShipwayError, UnavailableError, UnsupportedError
from shipway.journal.database import Connection, Database, Row, Transaction

if TYPE_CHECKING:
    import psycopg

_DEFAULTS = {
    "connect_timeout": "10",
    "application_name": "shipway",
    # A server that went away without a word is noticed within a minute, also in the middle of an answer.
    "keepalives_idle": "20",
    "keepalives_interval": "10",
    "keepalives_count": "3",
}

_SETTINGS = "SET statement_timeout = 30000; SET idle_in_transaction_session_timeout = 30000"
"""In ms. A driver that was stopped in the middle of a transaction must not keep the others out of its rows."""

_SCHEMA_LOCK = 0x73686970
"""Any number that others are unlikely to lock; here "ship" in ASCII."""

_REFUSED = ("28", "42501")
"""SQLSTATEs of a refusal: class 28 (who you are), 42501 (what you may)."""

_CREDENTIALS = re.compile(
    r"(?P<head>^[a-z]+://)(?P<user>[^:/?@]*):(?P<password>.*)@"
)  # greedy: a password may hold what should have been escaped
_QUERY_PASSWORD = re.compile(r"(?P<head>[?&](?:ssl)?password=)(?P<password>[^&]*)")


class PostgresDatabase(Database):
    """`url` is what libpq understands; what it leaves out comes from PG* variables and ~/.pgpass. `clock` is for tests."""

    serial = "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY"
    lock = "FOR UPDATE"

    def __init__(self, url: str, *, clock: Callable[[], float] | None = None) -> None:
        super().__init__()
        self._url = url
        self.place = masked(url)
        self._clock = clock

    def __repr__(self) -> str:
        return f"PostgresDatabase({self.place!r})"

    def connect(self) -> Connection:
        try:
            import psycopg
        except ImportError as error:
            raise UnsupportedError(
                f"the journal {self.place} needs psycopg, which is not installed",
                hint="pip install 'shipway[postgres]'",
            ) from error
        # "from None" throughout: psycopg's own errors may quote the URL, and a traceback prints what an error came from.
        try:
            settings = {**_DEFAULTS, **psycopg.conninfo.conninfo_to_dict(self._url)}
        except psycopg.Error as error:
            raise ConfigError(
                [f"the journal {self.place} is no PostgreSQL URL: {scrubbed(str(error), self._url)}"],
                hint="postgresql://user:password@host:5432/database; in the password write @ as %40, / as %2F",
            ) from None
        try:
            # Prepared statements would break behind a pooler that hands out a connection for each transaction.
            raw = psycopg.connect(**settings, autocommit=True, prepare_threshold=None)  # type: ignore[arg-type]  # libpq's settings by name
            raw.execute(_SETTINGS)
        except psycopg.Error as error:
            raise self.explained(error) from None
        return _PostgresConnection(raw, self, self._clock)

    def exists(self, transaction: Transaction, table: str) -> bool:
        # Not to_regclass: it may answer from what this session knew before it waited for the schema's lock.
        found = "SELECT 1 FROM pg_catalog.pg_class WHERE relname = ? AND pg_catalog.pg_table_is_visible(oid)"
        return bool(transaction.rows(found, table))

    def lock_schema(self, transaction: Transaction) -> None:
        transaction.rows("SELECT pg_advisory_xact_lock(?)", _SCHEMA_LOCK)

    def explained(self, error: psycopg.Error) -> ShipwayError:
        """psycopg's error in our words."""
        import psycopg

        text = scrubbed(" ".join(str(error).split()), self._url)
        state = error.sqlstate or ""
        if state.startswith(_REFUSED) or "authentication failed" in text or "no password supplied" in text:
            return AuthError(f"the journal {self.place} refused us: {text}", hint="check user, password and rights")
        if (
            isinstance(error, psycopg.OperationalError) or state == "25006"
        ):  # a standby, or a server that is failing over
            return UnavailableError(
                f"the journal {self.place} does not answer: {text}",
                hint="check that the server runs and can be reached",
            )
        return ShipwayError(f"the journal {self.place}: {text}")


class _PostgresConnection:
    def __init__(
        self, raw: psycopg.Connection[Row], database: PostgresDatabase, clock: Callable[[], float] | None
    ) -> None:
        self._raw = raw
        self._database = database
        self._clock = clock

    def rows(self, sql: str, *parameters: object) -> list[Row]:
        return self._execute(sql, parameters).fetchall()

    def change(self, sql: str, *parameters: object) -> int:
        return self._execute(sql, parameters).rowcount

    def now(self) -> float:
        if self._clock is not None:
            return self._clock()
        return float(self.rows("SELECT extract(epoch FROM clock_timestamp())::float8")[0][0])

    def begin(self, *, write: bool, lasting: bool = True) -> None:
        # Each statement sees what was committed before it, whatever the server's default: a row is read after its lock is ours.
        self.change("BEGIN ISOLATION LEVEL READ COMMITTED" + ("" if write else " READ ONLY"))
        if write and not lasting:
            self.change("SET LOCAL synchronous_commit = off")

    def end(self, *, keep: bool) -> None:
        self.change("COMMIT" if keep else "ROLLBACK")

    def close(self) -> None:
        self._raw.close()

    def _execute(self, sql: str, parameters: tuple[object, ...]) -> psycopg.Cursor[Row]:
        import psycopg

        try:
            # Bytes, because psycopg's types want literal strings where it gets text; rows are fetched to here by then.
            return self._raw.execute(sql.replace("?", "%s").encode(), parameters or None)
        except psycopg.Error as error:
            raise self._database.explained(error) from None


def masked(url: str) -> str:
    """The URL without its password."""
    return _QUERY_PASSWORD.sub(r"\g<head>***", _CREDENTIALS.sub(r"\g<head>\g<user>:***@", url))


def scrubbed(text: str, url: str) -> str:
    """A message without the URL's password, however it is written."""
    found = [match["password"] for pattern in (_CREDENTIALS, _QUERY_PASSWORD) for match in pattern.finditer(url)]
    # An "@" or "/" that should have been escaped splits the password, and libpq then quotes the pieces.
    pieces = [piece for password in found for piece in (password, unquote(password), *re.split(r"[@/:?#]", password))]
    for piece in sorted({piece for piece in pieces if len(piece) > 2}, key=len, reverse=True):
        text = text.replace(piece, "***")
    return text
