"""A stage's key and what tells two keys apart; pure."""

from collections.abc import Callable, Iterator, Mapping

import msgspec

from shipway.specs.stages import JsonValue, KeyParts
from shipway.specs.trees import Digest, Tree, digest_of

_VERSION = 1
"""Raised when what goes into a key, or its form, changes; then nothing made before is a hit."""

_SHOWN = 5


def key_of(parts: KeyParts) -> Digest:
    """SHA-256 of the canonical JSON of everything that determines a stage's result."""
    return digest_of(msgspec.json.encode((_VERSION, parts), order="deterministic"))


def differences(old: KeyParts, new: KeyParts, tree: Callable[[Digest], Tree | None]) -> Iterator[str]:
    """Say, one line each, what changed between two results' parts; `tree` looks listings up, None where one is gone."""
    if old.command != new.command:
        yield f"command changed: {_command(old)} → {_command(new)}"
    yield from _mapping("parameter", dict(_flat(old.params)), dict(_flat(new.params)))
    yield from _mapping("variable", old.env, new.env)
    if old.environment != new.environment:
        yield "environment changed"
    if old.outputs != new.outputs:
        yield f"outputs changed: {', '.join(old.outputs)} → {', '.join(new.outputs)}"
    for path in sorted(old.inputs.keys() | new.inputs.keys()):
        before, after = old.inputs.get(path), new.inputs.get(path)
        if before is None:
            yield f"input {path} is new"
        elif after is None:
            yield f"input {path} is no longer read"
        elif before != after:
            yield f"input {path} changed{_files(tree(before), tree(after))}"


def _command(parts: KeyParts) -> str:
    return parts.command if isinstance(parts.command, str) else " ".join(parts.command)


def _flat(values: Mapping[str, JsonValue], prefix: str = "") -> Iterator[tuple[str, JsonValue]]:
    for name, value in values.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _mapping(word: str, old: Mapping[str, object], new: Mapping[str, object]) -> Iterator[str]:
    for name in sorted(old.keys() | new.keys()):
        if name not in old:
            yield f"{word} {name} is new: {new[name]}"
        elif name not in new:
            yield f"{word} {name} is gone"
        elif old[name] != new[name] or type(old[name]) is not type(new[name]):
            yield f"{word} {name} changed: {old[name]} → {new[name]}"


def _files(old: Tree | None, new: Tree | None) -> str:
    if old is None or new is None:
        return ""
    before, after = ({entry.path: entry for entry in side.entries} for side in (old, new))
    changed = [path for path in before.keys() | after.keys() if before.get(path) != after.get(path)]
    if changed == ["."]:
        return ""
    marks = {path: "+" if path not in before else "-" if path not in after else "~" for path in changed}
    shown = ", ".join(f"{marks[path]}{path}" for path in sorted(changed)[:_SHOWN])
    more = f" and {len(changed) - _SHOWN} more" if len(changed) > _SHOWN else ""
    return f": {shown}{more}"
