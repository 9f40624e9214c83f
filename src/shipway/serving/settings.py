"""What a bundle says about its serving: `serving.json`, beside the model."""

from pathlib import Path

import msgspec

from shipway.errors import ConfigError

FILE = "serving.json"


class Batch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    How requests that came in together go to the model together.

    `max_rows` 1: never. `max_wait_ms` is how long the first request of a batch waits for company while the model is idle; 0, the
    default, means that it doesn't: what gathers while the model is busy makes the next batch.
    """

    max_rows: int = 256
    max_wait_ms: float = 0.0


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`model` is relative to the bundle. `threads` is how many the numerics libraries may use for one call."""

    name: str
    version: str
    model: str
    max_body_mib: float = 16.0
    batch: Batch = Batch()
    threads: int = 1


def read(bundle: Path) -> Settings:
    """Raises ConfigError, which names the file and the key."""
    path = bundle / FILE
    try:
        settings = msgspec.json.decode(path.read_bytes(), type=Settings)
    except OSError as error:
        hint = "a bundle is a directory with serving.json and the model"
        raise ConfigError([f"{path}: {error.strerror}"], hint=hint) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigError([f"{path}: {error}"]) from error
    if problems := list(_problems(bundle, settings)):
        raise ConfigError([f"{path}: {problem}" for problem in problems])
    return settings


def _problems(bundle: Path, settings: Settings) -> list[str]:
    problems = []
    if not settings.name or any(letter in settings.name for letter in "/:?#"):
        problems.append(f"name: {settings.name!r} cannot stand in a URL")
    if not settings.version or "/" in settings.version:
        problems.append(f"version: {settings.version!r} cannot stand in a URL")
    if not (bundle / settings.model).exists():
        problems.append(f"model: there is no {settings.model!r} in {bundle}")
    for key, value, least in (
        ("max_body_mib", settings.max_body_mib, 0.001),
        ("batch.max_rows", settings.batch.max_rows, 1),
        ("batch.max_wait_ms", settings.batch.max_wait_ms, 0),
        ("threads", settings.threads, 1),
    ):
        if value < least:
            problems.append(f"{key}: {value} is below {least}")
    return problems
