"""The kinds of values that may stand in `shipway.yaml`: each checks one value and says in words what is wrong with it."""

import math
import posixpath
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Annotated, Any

import msgspec
from pydantic import BeforeValidator, PlainValidator
from pydantic_core import PydanticCustomError

from shipway.config.faults import shown
from shipway.config.quantities import duration, memory_mib
from shipway.specs.nearest import suggestion

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OURS = (".git", ".shipway")


class Written(msgspec.Struct, frozen=True):
    """How a value is written, for the reference page."""

    how: str


def fault(text: str) -> PydanticCustomError:
    return PydanticCustomError("shipway", "{text}", {"text": text})


class Nothing:
    """Stands for a null of the file, which no key may have; None would pass where a key may be left out."""

    def __str__(self) -> str:
        return "nothing stands here (give it a value, or leave the key out)"


def _nothing(value: object) -> None:
    if isinstance(value, Nothing):
        raise fault(str(value))


def _text(value: Any) -> str:
    _nothing(value)
    if isinstance(value, bool):
        raise fault(f"{shown(value)} is a boolean, not a text (write '{shown(value)}' in quotes if you mean the word)")
    if not isinstance(value, str):
        raise fault(f"{shown(value)} is not a text{' (put it in quotes)' if isinstance(value, int | float) else ''}")
    return value


def _filled(value: Any) -> str:
    if not _text(value).strip():
        raise fault("an empty text stands here")
    return str(value)


def _name(value: Any) -> str:
    if not NAME.fullmatch(text := _filled(value)):
        raise fault(f"{shown(text)} is not a name (1 to 63 letters, digits, '-' and '_', the first a letter or digit)")
    return text


def _variable(value: Any) -> str:
    if not VARIABLE.fullmatch(text := _filled(value)):
        raise fault(f"{shown(text)} is not the name of a variable (letters, digits and '_', the first no digit)")
    return text


def _path(value: Any) -> str:
    text = _filled(value)
    if not text.isprintable():
        raise fault(f"{shown(text)} holds characters that no path should")
    if text.startswith(("/", "~")):
        raise fault(f"{shown(text)} is not in the project (write it relative to shipway.yaml)")
    path = posixpath.normpath(text)
    if path == ".." or path.startswith("../"):
        raise fault(f"{shown(text)} leads out of the project")
    if path.split("/")[0] in _OURS:
        raise fault(f"{shown(text)} lies in {path.split('/')[0]}, which no stage may touch")
    return path


def _directory(value: Any) -> str:
    text = _filled(value)
    if "://" in text:
        _without_password(text, "leave it out")
        raise fault(f"{shown(text)}: only a directory can be the store in this version")
    if text.startswith("~") or not text.isprintable():
        raise fault(f"{shown(text)} is not read as a shell would (write the whole path)")
    return posixpath.normpath(text)


def _boolean(value: Any) -> bool:
    _nothing(value)
    if not isinstance(value, bool):
        raise fault(f"{shown(value)} is not true or false")
    return value


def _whole(least: int, most: int = 10**6) -> Callable[[Any], int]:
    def check(value: Any) -> int:
        _nothing(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise fault(f"{shown(value)} is not a whole number")
        if value < least:
            raise fault(f"{value} is below {least}")
        if value > most:
            raise fault(f"{value} is above {most}")
        return value

    return check


def _tolerance(value: Any) -> float:
    _nothing(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise fault(f"{shown(value)} is not a number")
    if not (math.isfinite(value) and value >= 0):
        raise fault(f"{value} is not a tolerance (0 or more)")
    return float(value)


def _measured(read: Callable[[str], Any], example: str) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:
        if isinstance(value, int | float) and not isinstance(value, bool):
            raise fault(f"{value} has no unit (write it like {example})")
        try:
            return read(_filled(value))
        except ValueError as error:
            raise fault(f"{shown(value)} {error}") from error

    return check


def _positive(value: timedelta) -> timedelta:
    if not value:
        raise fault("no time at all is left by 0")
    return value


def _argv(value: Any) -> str | tuple[str, ...]:
    if not isinstance(value, list):
        return _filled(value)
    if not value:
        raise fault("an empty list is no command")
    return tuple(_filled(value[0]) if index == 0 else _text(part) for index, part in enumerate(value))


def _as_list(value: Any) -> Any:
    """A single item may stand where a list is expected."""
    _nothing(value)
    if isinstance(value, list):
        return tuple(value)
    return value if isinstance(value, dict) else (value,)


def _kind(value: Any) -> str:
    if (text := _filled(value)) == "process":
        return text
    if text in ("docker", "slurm", "kubernetes", "kserve"):
        raise PydanticCustomError(
            "kind", "{text}", {"text": f"{shown(text)} is not in this version (the kind is process)"}
        )
    raise PydanticCustomError("kind", "{text}", {"text": f"{shown(text)} is no kind{suggestion(text, ('process',))}"})


def _host(value: Any) -> str:
    if not re.fullmatch(r"[A-Za-z0-9.:_-]+", text := _filled(value)):
        raise fault(f"{shown(text)} is not a host name or address")
    return text


def _without_password(url: str, instead: str) -> None:
    """The URL itself is never told: it holds what must not be shown."""
    user = url.partition("://")[2].rpartition("@")[0]
    if ":" in user or re.search(r"[?&;]\s*(password|passwd|pwd|sslpassword)\s*=", url, re.IGNORECASE):
        raise fault(f"a password stands in the URL, where others will read it (take it out and {instead})")


def _journal(value: Any) -> str:
    text = _filled(value)
    _without_password(text, "set PGPASSWORD, or use ~/.pgpass")
    if not re.match(r"postgres(ql)?://", text):
        raise fault(f"{shown(text)} is not a PostgreSQL URL (postgresql://user@host/database; leave it out for SQLite)")
    return text


def _tracking(value: Any) -> str:
    if value is False:
        raise fault("false is not a tracking URI (write off)")
    text = _filled(value)
    _without_password(text, "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD")
    if text != "off" and not re.match(r"[a-z][a-z0-9+.-]*://|databricks", text):
        raise fault(f"{shown(text)} is not a tracking URI (http://…, sqlite:///…, or off)")
    return text


Text = Annotated[str, PlainValidator(_filled), Written("text")]
EnvText = Annotated[str, PlainValidator(_text), Written("text or number")]
Name = Annotated[str, PlainValidator(_name), Written("name")]
Variable = Annotated[str, PlainValidator(_variable), Written("variable's name")]
Path = Annotated[str, PlainValidator(_path), Written("path")]
Paths = Annotated[tuple[Path, ...] | None, BeforeValidator(_as_list), Written("path, or list of paths")]
Globs = Annotated[tuple[Path, ...] | None, BeforeValidator(_as_list), Written("path or glob, or a list of them")]
Texts = Annotated[tuple[Text, ...], BeforeValidator(_as_list), Written("text, or list of texts")]
Variables = Annotated[tuple[Variable, ...], BeforeValidator(_as_list), Written("list of names")]
Env = Annotated[dict[Variable, EnvText], Written("name: value, …")]
Command = Annotated[str | tuple[str, ...], PlainValidator(_argv), Written("shell line, or list of arguments")]
Directory = Annotated[str, PlainValidator(_directory), Written("directory")]
Flag = Annotated[bool, PlainValidator(_boolean), Written("true or false")]
Cpus = Annotated[int, PlainValidator(_whole(1)), Written("whole number from 1")]
Gpus = Annotated[int, PlainValidator(_whole(0)), Written("whole number from 0")]
Port = Annotated[int, PlainValidator(_whole(1, 65535)), Written("1 to 65535")]
Memory = Annotated[int, PlainValidator(_measured(memory_mib, "32GiB")), Written("size: 512MiB, 32GiB, 64GB")]
Duration = Annotated[timedelta, PlainValidator(_measured(duration, "90s or 4h")), Written("duration: 90s, 4h, 1d12h")]
Time = Annotated[
    timedelta,
    PlainValidator(lambda value: _positive(_measured(duration, "90s or 4h")(value))),
    Written("duration above 0"),
]
Tolerance = Annotated[float, PlainValidator(_tolerance), Written("number from 0")]
Kind = Annotated[str, PlainValidator(_kind), Written("process")]
Host = Annotated[str, PlainValidator(_host), Written("host name or address")]
JournalUrl = Annotated[str, PlainValidator(_journal), Written("postgresql://user@host/database")]
TrackingUri = Annotated[str, PlainValidator(_tracking), Written("URI, or off")]
