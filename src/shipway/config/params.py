"""
Parameters: `params.yaml`, what the command line sets in it, and what a stage gets of it.

The file is read by the users' programs too, so a word that YAML 1.1 and 1.2 take for different values is refused, and what is written reads the same in
both. Mappings are written in the order of their keys: the same parameters are the same bytes.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec

from shipway import __version__
from shipway.config.cache import keep, recall
from shipway.errors import ConfigError, UsageError
from shipway.specs.nearest import suggestion
from shipway.specs.stages import JsonValue

NAME = "params.yaml"

Params = Mapping[str, JsonValue]


class Parameters:
    """The parameters of one run: those of the project with what the command line sets."""

    def __init__(self, params: Params, *, overridden: bool = False) -> None:
        self.all = params
        self._overridden = overridden

    @classmethod
    def load(cls, root: Path, settings: Sequence[str] = (), *, cache: Path | None = None) -> "Parameters":
        """Raises ConfigError for the file, UsageError for a setting."""
        params = read_params(root, cache)
        return cls(override(params, settings), overridden=True) if settings else cls(params)

    @property
    def overridden(self) -> bytes | None:
        """The whole file as the settings make it, or None if there are none and the file is right as it is."""
        return render(self.all) if self._overridden else None

    def select(self, names: Sequence[str]) -> Params:
        """Raises ConfigError."""
        return select(self.all, names)

    def render(self, selected: Params) -> bytes:
        return render(selected)


def read_params(root: Path, cache: Path | None = None) -> dict[str, JsonValue]:
    """The parameters of the project at `root`; none without the file. Raises ConfigError."""
    try:
        data = (root / NAME).read_bytes()
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ConfigError([f"{NAME}: {error.strerror}"]) from error
    kept = None if cache is None else cache / f"params-{sha256(__version__.encode() + data).hexdigest()}"
    if kept is not None and (found := recall(kept, dict[str, Any])) is not None:
        return found
    params = _parsed(data)
    if kept is not None:
        keep(kept, params)
    return params


def override(params: Params, settings: Sequence[str]) -> dict[str, JsonValue]:
    """
    `params` with each `train.lr=0.1` set, the value read as YAML; the last of several wins.

    Raises UsageError for a key that is not there (a typo must not train the wrong thing) and for a mapping over a value or the other way round.
    """
    result: dict[str, JsonValue] = _copied(params)
    for setting in settings:
        key, equals, text = setting.partition("=")
        key = key.strip()
        if not equals or not key:
            raise UsageError(f"{setting!r} sets nothing", hint="write it like train.lr=0.1")
        parts = key.split(".")
        holder = _holder(result, parts, key)
        old, new = holder[parts[-1]], _value(key, text)
        if isinstance(old, dict) != isinstance(new, dict):
            was, is_now = ("a mapping", "a value") if isinstance(old, dict) else ("a value", "a mapping")
            inside = (
                f"set one of {', '.join(f'{key}.{name}' for name in old)}" if isinstance(old, dict) and old else None
            )
            raise UsageError(f"parameter {key} is {was}, and {setting!r} sets {is_now}", hint=inside)
        holder[parts[-1]] = new
    return result


def select(params: Params, names: Sequence[str]) -> dict[str, JsonValue]:
    """Dotted key → value, sorted. Raises ConfigError that names every key that is not there, and every value that no key can hold."""
    found: dict[str, JsonValue] = {}
    problems: list[str] = []
    for name in sorted(set(names)):
        value = _at(params, name)
        if value is msgspec.UNSET:
            problems.append(f"{NAME}: there is no parameter {name!r}{suggestion(name, known_keys(params))}")
        elif not _finite(value):
            problems.append(f"{NAME}: {name} holds .inf or .nan, which a stage's key cannot hold (quote it)")
        else:
            found[name] = value
    if problems:
        raise ConfigError(problems)
    return found


def render(params: Params) -> bytes:
    """The text of a params.yaml that holds these; dotted keys, as `select` gives them, become nested mappings."""
    import yaml

    from shipway.config.writing import Dumper

    if not params:
        return b"{}\n"
    text: str = yaml.dump(_nested(params), Dumper=Dumper, sort_keys=True, allow_unicode=True, width=1 << 16)
    return text.encode()


def known_keys(params: Params, prefix: str = "") -> Iterator[str]:
    """Every dotted key, those of mappings included."""
    for name, value in params.items():
        yield prefix + name
        if isinstance(value, dict):
            yield from known_keys(value, f"{prefix}{name}.")


def _parsed(data: bytes) -> dict[str, JsonValue]:
    from shipway.config import text
    from shipway.config.faults import START, Faults, shown

    if not _says_something(data):
        return {}
    faults = Faults(NAME)
    document = text.parse(data, faults, portable=True)
    value = None if document is None else document.value
    if document is not None and not isinstance(value, dict):
        faults.add(START, (), f"{shown(value)} stands here, not a mapping of names to values")
    if document is not None and isinstance(value, dict):
        for name in value:
            if "." in name:
                faults.add(
                    document.key_place((name,)), (), f"{name!r}: a dot leads into a mapping, so no name may hold one"
                )
    faults.stop_if_any()
    assert isinstance(value, dict), "no value and no fault either"
    return value


def _says_something(data: bytes) -> bool:
    """A file of comments only is one without parameters."""
    return any(line.strip() and not line.lstrip().startswith(b"#") for line in data.splitlines())


def _copied(value: Any) -> Any:
    """The mappings copied, so that setting a key leaves the original alone."""
    return {name: _copied(inner) for name, inner in value.items()} if isinstance(value, Mapping) else value


def _holder(params: dict[str, Any], parts: Sequence[str], key: str) -> dict[str, Any]:
    """The mapping that holds the last part."""
    holder: Any = params
    for index, part in enumerate(parts):
        if not isinstance(holder, dict):
            raise UsageError(f"parameter {'.'.join(parts[:index])} is a value, so there is no {key}")
        if part not in holder:
            if not params:
                raise UsageError(f"there is no parameter {key!r}", hint=f"the project has no parameters in {NAME}")
            raise UsageError(f"there is no parameter {key!r}{suggestion(key, known_keys(params))}")
        if index < len(parts) - 1:
            holder = holder[part]
    assert isinstance(holder, dict)
    return holder


def _at(params: Any, name: str) -> Any:
    for part in name.split("."):
        if not isinstance(params, dict) or part not in params:
            return msgspec.UNSET
        params = params[part]
    return params


def _finite(value: Any) -> bool:
    if isinstance(value, dict):
        return all(_finite(inner) for inner in value.values())
    if isinstance(value, list):
        return all(_finite(inner) for inner in value)
    return not isinstance(value, float) or math.isfinite(value)


def _nested(params: Params) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for name in sorted(params):  # "train" comes before "train.lr", which is the same value again
        holder = result
        *path, last = name.split(".")
        for part in path:
            holder = holder.setdefault(part, {})
        holder[last] = _copied(params[name])
    return result


def _value(key: str, written: str) -> Any:
    """A value of the command line. Raises UsageError."""
    from shipway.config import text
    from shipway.config.faults import Faults

    if not written.strip():
        return None
    faults = Faults(key)
    document = text.parse(written.encode("utf-8", "surrogateescape"), faults, portable=True, flow=True)
    try:
        faults.stop_if_any()
    except ConfigError as error:
        raise UsageError(f"{key}={written}: " + "; ".join(_unplaced(problem) for problem in error.problems)) from error
    assert document is not None, "no value and no fault either"
    return document.value


def _unplaced(problem: str) -> str:
    """Line and column of one word say little."""
    return problem.split(": ", 1)[1]
