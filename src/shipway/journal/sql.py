"""The journal over SQL that SQLite and PostgreSQL both speak; the differences are in their connectors."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import msgspec

from shipway.errors import ConflictError, NotFoundError, UsageError
from shipway.journal import schema, standing
from shipway.journal.base import Journal
from shipway.journal.database import Database, Transaction
from shipway.journal.leases import Leases, run_of
from shipway.specs.runs import Event, JobRow, Lease, Parcel, Run, RunState, StageRow, StageState
from shipway.specs.stages import JsonValue
from shipway.specs.trees import Digest

_decode_run = msgspec.json.Decoder(Run).decode
_decode_stage = msgspec.json.Decoder(StageRow).decode
_decode_job = msgspec.json.Decoder(JobRow).decode


def open_journal(location: str | Path, *, clock: Callable[[], float] | None = None) -> Journal:
    """
    Open the journal at a path (SQLite) or at a postgresql:// URL, making its tables if they aren't there.

    `clock` replaces the database's own clock, for tests.
    """
    return SqlJournal(_database(location, clock))


def _database(location: str | Path, clock: Callable[[], float] | None) -> Database:
    scheme, separator, _ = str(location).partition("://")
    if isinstance(location, Path) or not separator:
        from shipway.journal.sqlite import SqliteDatabase

        return SqliteDatabase(Path(location), clock=clock)
    if scheme in ("postgresql", "postgres"):
        from shipway.journal.postgres import PostgresDatabase

        return PostgresDatabase(str(location), clock=clock)
    raise UsageError(f"the journal cannot live at a {scheme}:// URL", hint="give a file's path, or postgresql://…")


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _read_json(text: str) -> JsonValue:
    value: JsonValue = msgspec.json.decode(text)
    return value


def _read_object(text: str) -> dict[str, JsonValue]:
    return msgspec.json.decode(text, type=dict[str, JsonValue])


class SqlJournal(Journal):
    """Every verb is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database
        try:
            schema.prepare(database)
        except BaseException:
            database.close()
            raise

    def __repr__(self) -> str:
        return f"SqlJournal({self._database!r})"

    def close(self) -> None:
        self._database.close()

    # Runs

    def create(self, run: Run) -> None:
        with self._database.writing() as transaction:
            made = transaction.change(
                "INSERT INTO shipway_run (id, project, state, created, body) VALUES (?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING",
                run.id,
                run.project,
                run.state.value,
                run.created,
                _json(run),
            )
        if not made:
            raise ConflictError(f"there is a run {run.id} already")

    def get(self, run: str) -> Run:
        with self._database.reading() as transaction:
            return self._run(transaction, run)

    def list(self, *, project: str | None = None, states: Sequence[RunState] = (), limit: int = 50) -> Sequence[Run]:
        where, parameters = ["1 = 1"], []
        if project is not None:
            where.append("project = ?")
            parameters.append(project)
        if states:
            where.append(f"state IN ({', '.join('?' * len(states))})")
            parameters.extend(state.value for state in states)
        with self._database.reading() as transaction:
            rows = transaction.rows(
                f"SELECT body FROM shipway_run WHERE {' AND '.join(where)} ORDER BY created DESC, seq DESC LIMIT ?",
                *parameters,
                limit,
            )
        return [_decode_run(body) for (body,) in rows]

    def finish(self, lease: Lease, state: RunState, error: str | None = None) -> Run:
        if not state.terminal:
            raise UsageError(f"a run cannot end as {state.value}")
        with self._under(lease) as transaction:
            run = standing.ended(self._run(transaction, run_of(lease)), state, error, transaction.now())
            transaction.change(
                "UPDATE shipway_run SET state = ?, body = ? WHERE id = ?", run.state.value, _json(run), run.id
            )
            return run

    # Leases

    def claim(self, name: str, owner: str, ttl: timedelta) -> Lease:
        with self._database.writing() as transaction:
            return self._leases(transaction).claim(name, owner, ttl)

    def holder(self, name: str) -> Lease | None:
        with self._database.reading() as transaction:
            return self._leases(transaction).holder(name)

    def renew(self, lease: Lease, ttl: timedelta) -> Lease:
        with self._database.writing() as transaction:
            return self._leases(transaction).renew(lease, ttl)

    def release(self, lease: Lease) -> None:
        with self._database.writing(lasting=False) as transaction:
            self._leases(transaction).release(lease)

    # Stages, jobs, steps

    def save_stage(self, lease: Lease, row: StageRow) -> StageRow:
        if run_of(lease) != row.run:
            raise UsageError(f"the lease {lease.name} does not allow writing a stage of run {row.run}")
        # What is not an end, or came from the store, the next driver finds out again.
        lasting = row.state.terminal and row.state is not StageState.CACHED
        with self._under(lease, lasting=lasting) as transaction:
            found = transaction.rows("SELECT body FROM shipway_stage WHERE run = ? AND name = ?", row.run, row.name)
            stands = standing.stage_row(_decode_stage(found[0][0]), row) if found else row
            transaction.change(
                "INSERT INTO shipway_stage (run, name, state, key, job, body) VALUES (?, ?, ?, ?, ?, ?)"
                " ON CONFLICT (run, name) DO UPDATE SET"
                " state = excluded.state, key = excluded.key, job = excluded.job, body = excluded.body",
                stands.run,
                stands.name,
                stands.state.value,
                stands.key,
                stands.job,
                _json(stands),
            )
            return stands

    def stages(self, run: str) -> Sequence[StageRow]:
        with self._database.reading() as transaction:
            rows = transaction.rows("SELECT body FROM shipway_stage WHERE run = ? ORDER BY seq", run)
        return [_decode_stage(body) for (body,) in rows]

    def last_key(self, project: str, stage: str) -> Digest | None:
        with self._database.reading() as transaction:
            rows = transaction.rows(
                "SELECT s.key FROM shipway_stage s JOIN shipway_run r ON r.id = s.run"
                " WHERE s.name = ? AND s.state IN (?, ?) AND s.key IS NOT NULL AND r.project = ? ORDER BY s.seq DESC LIMIT 1",
                stage,
                StageState.SUCCEEDED.value,
                StageState.CACHED.value,
                project,
            )
        return Digest(rows[0][0]) if rows else None

    def save_job(self, lease: Lease, row: JobRow) -> JobRow:
        run_of(lease)
        with self._under(lease) as transaction:
            made = transaction.change(
                "INSERT INTO shipway_job (id, run, key, state, body) VALUES (?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING",
                row.id,
                row.run,
                row.key,
                row.state.value,
                _json(row),
            )
            if made:
                return row
            lock = self._database.lock  # another run's driver may write the same job, and its lease is not ours
            found = transaction.rows(f"SELECT body FROM shipway_job WHERE id = ? {lock}", row.id)
            stands = standing.job_row(_decode_job(found[0][0]), row)
            transaction.change(
                "UPDATE shipway_job SET state = ?, body = ? WHERE id = ?", stands.state.value, _json(stands), row.id
            )
            return stands

    def jobs(self, *, run: str | None = None, key: Digest | None = None) -> Sequence[JobRow]:
        where, parameters = ["1 = 1"], []
        if run is not None:
            where.append("(run = ? OR id IN (SELECT job FROM shipway_stage WHERE run = ?))")
            parameters += [run, run]
        if key is not None:
            where.append("key = ?")
            parameters.append(key)
        with self._database.reading() as transaction:
            rows = transaction.rows(
                f"SELECT body FROM shipway_job WHERE {' AND '.join(where)} ORDER BY seq", *parameters
            )
        return [_decode_job(body) for (body,) in rows]

    def record(self, lease: Lease, step: str, value: JsonValue) -> JsonValue:
        run = run_of(lease)
        with self._under(lease) as transaction:
            transaction.change(
                "INSERT INTO shipway_step (run, name, value) VALUES (?, ?, ?) ON CONFLICT (run, name) DO NOTHING",
                run,
                step,
                _json(value),
            )
            return _read_json(
                transaction.rows("SELECT value FROM shipway_step WHERE run = ? AND name = ?", run, step)[0][0]
            )

    def steps(self, run: str) -> Mapping[str, JsonValue]:
        with self._database.reading() as transaction:
            rows = transaction.rows("SELECT name, value FROM shipway_step WHERE run = ? ORDER BY seq", run)
        return {name: _read_json(value) for name, value in rows}

    # Events and parcels

    def note(self, run: str, kind: str, data: Mapping[str, JsonValue]) -> Event:
        with self._database.writing(lasting=False) as transaction:
            # The run's row is locked so that its events are committed in the order of their numbers: a reader that
            # goes on after the last one it saw would miss one that came late.
            self._run(transaction, run, self._database.lock)
            at, text = transaction.now(), _json(data)
            transaction.change(
                "INSERT INTO shipway_event (run, at, kind, data) VALUES (?, ?, ?, ?)", run, at, kind, text
            )
            seq = transaction.rows("SELECT max(seq) FROM shipway_event WHERE run = ?", run)[0][0]
        return Event(seq=seq, run=run, at=at, kind=kind, data=_read_object(text))

    def events(self, run: str, *, after: int = 0) -> Sequence[Event]:
        with self._database.reading() as transaction:
            rows = transaction.rows(
                "SELECT seq, run, at, kind, data FROM shipway_event WHERE run = ? AND seq > ? ORDER BY seq", run, after
            )
        return [
            Event(seq=seq, run=owner, at=at, kind=kind, data=_read_object(data)) for seq, owner, at, kind, data in rows
        ]

    def post(self, lease: Lease, kind: str, data: Mapping[str, JsonValue], *, once: str) -> None:
        run = run_of(lease)
        with self._under(lease) as transaction:
            transaction.change(
                "INSERT INTO shipway_parcel (run, once, kind, data) VALUES (?, ?, ?, ?) ON CONFLICT (run, once) DO NOTHING",
                run,
                once,
                kind,
                _json(data),
            )

    def parcels(self, *, run: str | None = None) -> Sequence[Parcel]:
        where, parameters = ("AND run = ?", (run,)) if run is not None else ("", ())
        with self._database.reading() as transaction:
            rows = transaction.rows(
                f"SELECT seq, run, kind, data FROM shipway_parcel WHERE sent IS NULL {where} ORDER BY seq", *parameters
            )
        return [Parcel(seq=seq, run=owner, kind=kind, data=_read_object(data)) for seq, owner, kind, data in rows]

    def sent(self, seq: int) -> None:
        with self._database.writing() as transaction:
            # The row stays, so that a repeated `post` is still dropped; what it said is not needed any more.
            transaction.change(
                "UPDATE shipway_parcel SET sent = ?, data = '{}' WHERE seq = ? AND sent IS NULL", transaction.now(), seq
            )

    # Parts

    def _leases(self, transaction: Transaction) -> Leases:
        return Leases(transaction, self._database.lock)

    @contextmanager
    def _under(self, lease: Lease, *, lasting: bool = True) -> Iterator[Transaction]:
        """A writing transaction that holds the lease, or LeaseLostError before anything is written."""
        with self._database.writing(lasting=lasting) as transaction:
            self._leases(transaction).check(lease)
            yield transaction

    def _run(self, transaction: Transaction, run: str, lock: str = "") -> Run:
        rows = transaction.rows(f"SELECT body FROM shipway_run WHERE id = ? {lock}", run)
        if not rows:
            raise NotFoundError(f"there is no run {run}", hint="`shipway runs` lists them")
        return _decode_run(rows[0][0])
