"""Tracking URIs as users write them."""

from pathlib import Path

import pytest

from shipway.errors import ConfigError
from shipway.tracking.mlflow import MlflowTracker
from shipway.tracking.mlflow_registry import MlflowRegistry
from shipway.tracking.uris import masked, sqlite_file, tracking_uri

HOME = Path("/project/.shipway")


@pytest.mark.parametrize(
    ("text", "uri"),
    [
        (None, "sqlite:////project/.shipway/mlflow.db"),
        ("sqlite:///mlflow.db", "sqlite:////project/mlflow.db"),
        ("sqlite:////data/mlflow.db", "sqlite:////data/mlflow.db"),
        ("http://mlflow.example.edu:5000/base", "http://mlflow.example.edu:5000/base"),
        ("postgresql://ann@db.example.edu/mlflow", "postgresql://ann@db.example.edu/mlflow"),
        ("databricks", "databricks"),
        ("databricks://profile", "databricks://profile"),
    ],
)
def test_a_uri_is_made_absolute(text: str | None, uri: str) -> None:
    assert tracking_uri(text, HOME) == uri


@pytest.mark.parametrize("text", ["./mlruns", "mlruns", "file:///tmp/mlruns", "file:mlruns"])
def test_mlflows_dead_file_store_is_refused_with_a_way_out(text: str) -> None:
    with pytest.raises(ConfigError, match="names a directory") as caught:
        tracking_uri(text, HOME)
    assert "sqlite:///" in str(caught.value.hint)


@pytest.mark.parametrize("text", ["sqlite://", "sqlite:///", "sqlite:///:memory:", "sqlite:mlflow.db"])
def test_a_sqlite_uri_must_name_a_file(text: str) -> None:
    with pytest.raises(ConfigError, match="names no file"):
        tracking_uri(text, HOME)


@pytest.mark.parametrize(
    "text",
    [
        "http://ann:s3cret@mlflow.example.edu",
        "https://s3cret@mlflow.example.edu/x",
        "postgresql://ann:s3cret@db/mlflow",
        "postgresql://db/mlflow?user=ann&password=s3cret",
        "https://mlflow.example.edu/?token=s3cret",
    ],
)
def test_a_secret_in_a_uri_is_refused_and_never_repeated(text: str) -> None:
    for act in (
        lambda: tracking_uri(text, HOME),
        lambda: MlflowTracker(text, project="p"),
        lambda: MlflowRegistry(text, project="p"),
    ):
        with pytest.raises(ConfigError) as caught:
            act()
        assert "s3cret" not in f"{caught.value} {caught.value.hint}"
        assert caught.value.hint


def test_a_masked_uri_keeps_what_helps() -> None:
    assert masked("https://ann:pw@host:1/a?b=c") == "https://***@host:1/a?***"
    assert masked("sqlite:////p/mlflow.db") == "sqlite:////p/mlflow.db"


def test_only_a_sqlite_uri_names_a_file() -> None:
    assert sqlite_file("sqlite:////p/mlflow.db") == Path("/p/mlflow.db")
    assert sqlite_file("http://host") is None
