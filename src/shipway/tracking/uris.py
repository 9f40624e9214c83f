"""Tracking URIs as users write them: checked, made absolute, and never with a password in them."""

from pathlib import Path
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from shipway.errors import ConfigError

OFF = "off"
SQLITE = "sqlite:///"
FILE_STORE_HINT = "MLflow keeps its file store only for old data: write sqlite:///mlflow.db, or leave `tracking` out"
SECRET_HINT = "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD (or MLFLOW_TRACKING_TOKEN) in the environment"
DATABASE_HINT = "leave the password out; the database's own client reads it from PGPASSWORD or ~/.pgpass"


def tracking_uri(text: str | None, home: Path) -> str:
    """
    Return the URI to hand to MLflow; `home` is the project's `.shipway` directory, beside which relative SQLite files lie.

    Raises ConfigError for a password in the URI and for MLflow's old file store.
    """
    if text is None:
        return SQLITE + str(home.absolute() / "mlflow.db")
    refuse_secrets(text)
    if text.startswith("sqlite:"):
        return _absolute(text, home.absolute().parent)
    if ("://" not in text and text != "databricks") or text.startswith("file:"):
        raise ConfigError([f"tracking: {text} names a directory"], hint=FILE_STORE_HINT)
    return text


def refuse_secrets(uri: str) -> None:
    """Raise ConfigError, with the URI masked, if it carries a password (or, over HTTP, any user)."""
    parts = urlsplit(uri)
    web = parts.scheme in ("http", "https")
    in_query = any("password" in name.lower() or "token" in name.lower() for name, _ in parse_qsl(parts.query))
    if parts.password is not None or in_query or (web and parts.username is not None):
        raise ConfigError([f"tracking: {masked(uri)} carries a secret"], hint=SECRET_HINT if web else DATABASE_HINT)


def masked(uri: str) -> str:
    """The URI without user, password and query, fit to be shown."""
    parts = urlsplit(uri)
    if not parts.netloc and not parts.query:
        return uri
    host = parts.netloc.rpartition("@")[2]
    user = "***@" if "@" in parts.netloc else ""
    return urlunsplit((parts.scheme, user + host, parts.path, "***" if parts.query else "", ""))


def sqlite_file(uri: str) -> Path | None:
    """The database file of an absolute SQLite URI, or None for any other."""
    return Path(uri.removeprefix(SQLITE)) if uri.startswith(SQLITE) else None


def _absolute(uri: str, root: Path) -> str:
    name = uri.removeprefix(SQLITE)
    if not uri.startswith(SQLITE) or name in ("", ":memory:"):
        raise ConfigError([f"tracking: {uri} names no file"], hint="write sqlite:///mlflow.db, relative to the project")
    return SQLITE + str(root / name)
