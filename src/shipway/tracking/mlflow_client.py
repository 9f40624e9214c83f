"""One MLflow backend, opened at its first use: quiet, without telemetry, quick to give up, its errors in our words."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shipway.errors import AuthError, ConflictError, NotFoundError, ShipwayError, UnavailableError, UsageError
from shipway.tracking.uris import SECRET_HINT, SQLITE, masked, refuse_secrets, sqlite_file

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "GIT_PYTHON_REFRESH": "quiet",
}
"""Set before MLflow is imported, here and in every stage."""

DEFAULTS = {
    # MLflow's own client tries for four minutes, with a patience of two minutes each time; what we could not send is sent later.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": 1,
    "MLFLOW_HTTP_REQUEST_TIMEOUT": 10,
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": 1,
    "MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER": False,
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": True,
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": False,
}
"""MLflow's defaults as changed in this process only; a variable that the user has set still wins, and stages inherit nothing."""

INSTALL_HINT = 'pip install "shipway[mlflow]", or write `tracking: off`'

ERRORS: dict[str, type[ShipwayError]] = {
    "RESOURCE_DOES_NOT_EXIST": NotFoundError,
    "NOT_FOUND": NotFoundError,
    "RESOURCE_ALREADY_EXISTS": ConflictError,
    "ALREADY_EXISTS": ConflictError,
    "RESOURCE_CONFLICT": ConflictError,
    "PERMISSION_DENIED": AuthError,
    "UNAUTHENTICATED": AuthError,
    "CUSTOMER_UNAUTHORIZED": AuthError,
    "INVALID_PARAMETER_VALUE": UsageError,
}
"""
MLflow's error codes in our words; any other is UnavailableError, so that what was refused is kept.

Among those are no connection, 5xx, a locked database, and the answers of a proxy or of a wrong address.
"""


class Server:
    """Opens the client once for each process and hands it out under the error mapping; constructing it imports nothing."""

    def __init__(self, uri: str) -> None:
        refuse_secrets(uri)
        self.uri = uri
        self._client: MlflowClient | None = None
        self._opening = threading.Lock()

    @contextmanager
    def client(self) -> Iterator["MlflowClient"]:
        """The client; whatever it raises becomes an error of ours."""
        with translated(self.uri):
            yield self._open()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other processes of ours out, where the backend is a file of this machine (MLflow's servers settle races themselves)."""
        database = sqlite_file(self.uri)
        if database is None:
            yield
            return
        import fcntl

        database.parent.mkdir(parents=True, exist_ok=True)
        with open(database.with_name(database.name + ".lock"), "a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _open(self) -> "MlflowClient":
        with self._opening:
            quiet()
            if self._client is None:
                self._client = self._connect()
            return self._client

    def _connect(self) -> "MlflowClient":
        try:
            from mlflow.tracking import MlflowClient
        except ImportError as error:
            raise UnavailableError(f"MLflow cannot be imported: {error}", hint=INSTALL_HINT) from error
        settle_defaults()
        # Two processes that open a new SQLite file at once can break it for good: MLflow's migrations are not guarded (seen with 3.17.2).
        with self.alone():
            database = sqlite_file(self.uri)
            if database is not None and not database.exists():
                _make_database(database)
            return MlflowClient(tracking_uri=self.uri, registry_uri=self.uri)


def _make_database(database: Path) -> None:
    """
    Let MLflow make a new database under another name, and name it when it is whole.

    It takes MLflow two seconds, and the next one to open what a killed process left of it would fail for ever. Needs `Server.alone`.
    """
    from mlflow.tracking import MlflowClient

    fresh = database.with_name(database.name + ".new")
    for suffix in ("", "-journal", "-wal", "-shm"):
        fresh.with_name(fresh.name + suffix).unlink(missing_ok=True)
    MlflowClient(tracking_uri=SQLITE + str(fresh), registry_uri=SQLITE + str(fresh))
    fresh.rename(database)


def quiet() -> None:
    """Telemetry off, and MLflow's warnings (about its own dependencies) away from the user."""
    import warnings

    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    warnings.filterwarnings("ignore", module=r"(mlflow|alembic|sqlalchemy)(\.|$)")


def settle_defaults() -> None:
    """Change MLflow's defaults and silence its log; what goes wrong comes out as an exception anyway."""
    import logging

    from mlflow import environment_variables

    for name, value in DEFAULTS.items():
        variable: Any = getattr(environment_variables, name, None)
        if variable is not None:  # a later MLflow may drop one; then its own behaviour stands
            variable.default = value
    if "MLFLOW_LOGGING_LEVEL" not in os.environ:
        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(logging.CRITICAL)


@contextmanager
def translated(uri: str) -> Iterator[None]:
    """Foreign errors stop here."""
    try:
        yield
    except ShipwayError:
        raise
    except Exception as error:
        if type(error).__module__ == "builtins" and not isinstance(error, OSError):
            raise  # a fault of the program, in MLflow or in us, and not of the far side
        raise _ours(error, uri) from error


def _ours(error: Exception, uri: str) -> ShipwayError:
    code = getattr(error, "error_code", None)
    status = getattr(getattr(error, "response", None), "status_code", None)
    kind = ERRORS.get(str(code), UnavailableError) if code is not None else _by_status(status)
    text = f"MLflow at {masked(uri)}: {_first_line(error)}"
    if kind is AuthError:
        return AuthError(text, hint=SECRET_HINT)
    if kind is UnavailableError:
        return UnavailableError(
            text, hint="is the server up? what could not be sent is kept; `shipway track --flush` sends it later"
        )
    return kind(text)


def _by_status(status: int | None) -> type[ShipwayError]:
    """Artifact stores raise plain HTTP errors, databases their own; without a status it may be better next time."""
    if status in (401, 403):
        return AuthError
    if status == 404:
        return NotFoundError
    if status is not None and 400 <= status < 500 and status not in (408, 409, 429):
        return UsageError
    return UnavailableError


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:400]
