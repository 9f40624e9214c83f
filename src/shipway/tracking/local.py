"""What stands in for MLflow where the project says `tracking: off`: a registry on the store's refs, and a tracker that forgets."""

import contextlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from shipway.errors import ConflictError, CorruptError, NotFoundError
from shipway.specs.models import ModelVersion
from shipway.specs.runs import RunState
from shipway.specs.trees import Digest
from shipway.store.base import Store
from shipway.tracking.base import ModelRegistry, TrackedMetric, Tracker
from shipway.tracking.cards import check_alias, check_name, from_fields, same_model, to_fields

TELEMETRY_OFF = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}


class NullTracker(Tracker):
    """Accepts everything and keeps nothing."""

    def start(self, run: str, *, name: str, tags: Mapping[str, str], at: float | None = None) -> str:
        return run

    def log(
        self,
        tracked: str,
        *,
        params: Mapping[str, str] = {},
        metrics: Sequence[TrackedMetric] = (),
        tags: Mapping[str, str] = {},
    ) -> None:
        """Nothing to do."""

    def save(self, tracked: str, source: Path, name: str) -> None:
        """Nothing to do."""

    def finish(self, tracked: str, state: RunState, *, at: float | None = None) -> None:
        """Nothing to do."""

    def environment(self, tracked: str | None) -> Mapping[str, str]:
        return TELEMETRY_OFF


class StoreRegistry(ModelRegistry):
    """
    Numbers versions by compare-and-swap on refs, so any number of processes may register at once.

    `models/<name>/versions/<n>` holds the digest of the version's JSON object, `models/<name>/trees/<n>` the model's tree (so that
    `shipway store gc` keeps it), `models/<name>/aliases/<alias>` a number.
    """

    def __init__(self, store: Store) -> None:
        self.store = store

    def register(self, version: ModelVersion, source: Path, *, tracked: str | None = None) -> ModelVersion:
        check_name(version.name)
        if not self.store.has_tree(version.tree):
            raise NotFoundError(f"model {version.name}: its tree {version.tree} is not in the store")
        while True:
            known = self.versions(version.name)
            for one in reversed(known):
                if same_model(one, version):
                    self._keep_tree(one)
                    return one
            number = 1 + max((int(one.version or 0) for one in known), default=0)
            made = msgspec.structs.replace(version, version=str(number), aliases=(), created=time.time())
            try:
                self.store.move_ref(_ref(made, "versions"), None, self.store.put_bytes(_encode(made)))
            except ConflictError:
                continue  # another process took the number; perhaps for this very model, so look again
            self._keep_tree(made)
            return made

    def resolve(self, name: str, which: str) -> ModelVersion | None:
        number = which if which.isdigit() else self.store.ref(f"models/{name}/aliases/{which}")
        value = None if number is None else self.store.ref(f"models/{name}/versions/{number}")
        if number is None or value is None:
            return None
        return self._load(name, number, value, self._aliases(name))

    def promote(self, name: str, version: str, alias: str) -> None:
        check_name(name)
        check_alias(alias)
        if not version.isdigit() or self.store.ref(f"models/{name}/versions/{version}") is None:
            raise NotFoundError(f"model {name} has no version {version}", hint=f"`shipway models {name}` lists them")
        ref = f"models/{name}/aliases/{alias}"
        while (now := self.store.ref(ref)) != version:
            try:
                self.store.move_ref(ref, now, version)
            except ConflictError:
                continue  # someone else moved it in between; the last promotion wins

    def versions(self, name: str) -> Sequence[ModelVersion]:
        prefix = f"models/{name}/versions/"
        aliases = self._aliases(name)
        found = [
            self._load(name, ref.removeprefix(prefix), value, aliases) for ref, value in self.store.refs(prefix).items()
        ]
        return sorted(found, key=lambda one: -int(one.version or 0))

    def _aliases(self, name: str) -> Mapping[str, str]:
        prefix = f"models/{name}/aliases/"
        return {ref.removeprefix(prefix): number for ref, number in self.store.refs(prefix).items()}

    def _load(self, name: str, number: str, value: str, aliases: Mapping[str, str]) -> ModelVersion:
        with self.store.open(Digest(value)) as stream:
            data = stream.read()
        try:
            card = json.loads(data)
            version = from_fields(name, number, card["fields"])
            created = float(card["created"])
        except (ValueError, KeyError, TypeError) as error:
            raise CorruptError(f"version {number} of model {name} cannot be read: {error}") from error
        mine = tuple(sorted(alias for alias, at in aliases.items() if at == number))
        return msgspec.structs.replace(version, created=created, aliases=mine)

    def _keep_tree(self, version: ModelVersion) -> None:
        if self.store.ref(_ref(version, "trees")) is None:
            with contextlib.suppress(ConflictError):  # another process has done it
                self.store.move_ref(_ref(version, "trees"), None, version.tree)


def model_roots(store: Store) -> Iterator[Digest]:
    """What the versions in a store need: their own objects and the models' trees, also where a crash left the tree's ref out."""
    registry = StoreRegistry(store)
    for name in {ref.split("/")[1] for ref in store.refs("models/")}:
        yield from map(Digest, store.refs(f"models/{name}/versions/").values())
        yield from (version.tree for version in registry.versions(name))


def _ref(version: ModelVersion, kind: str) -> str:
    return f"models/{version.name}/{kind}/{version.version}"


def _encode(version: ModelVersion) -> bytes:
    return json.dumps({"created": version.created, "fields": to_fields(version)}, sort_keys=True).encode()
