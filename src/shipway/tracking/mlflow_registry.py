"""The registry that is MLflow's: registered models, whose versions carry what Shipway knows as tags."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from shipway.errors import ConflictError, NotFoundError, UnsupportedError
from shipway.specs.models import ModelVersion
from shipway.specs.trees import digest_of
from shipway.tracking.base import ModelRegistry
from shipway.tracking.cards import TREE, check_alias, check_name, from_fields, same_model, to_fields
from shipway.tracking.mlflow import MlflowTracker, save_as
from shipway.tracking.mlflow_client import Server

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient


class MlflowRegistry(ModelRegistry):
    """
    Registers the model's files as artifacts of the tracked run, or of a run of its own where there is none.

    Versions without Shipway's tags are other people's: they are not listed, and asking for one by alias or number is an error.
    """

    def __init__(self, uri: str, *, project: str, artifacts: Path | None = None) -> None:
        self._server = Server(uri)
        self._tracker = MlflowTracker(uri, project=project, artifacts=artifacts)

    def register(self, version: ModelVersion, source: Path, *, tracked: str | None = None) -> ModelVersion:
        check_name(version.name)
        if not source.exists():
            raise NotFoundError(f"model {version.name}: there is no {source}")
        found = self._same(version)
        if found is not None:
            return found
        run = tracked or self._own_run(version)
        with self._server.client() as client:
            path = _artifact_path(version)
            save_as(client, run, source, f"{path}/{source.name}" if source.is_file() else path)
            location = f"{client.get_run(run).info.artifact_uri.rstrip('/')}/{path}"
            _ensure_model(client, version.name)
            with self._server.alone():
                return self._same(version) or self._settle(
                    client, version, self._create(client, version, run, location)
                )

    def resolve(self, name: str, which: str) -> ModelVersion | None:
        with self._server.client() as client:
            try:
                found = (
                    client.get_model_version(name, which)
                    if which.isdigit()
                    else client.get_model_version_by_alias(name, which)
                )
            except Exception as error:
                if _is_absent(error):
                    return None
                raise
            return _version(found, self._aliases(client, name))

    def promote(self, name: str, version: str, alias: str) -> None:
        check_alias(alias)
        if not version.isdigit() or self.resolve(name, version) is None:
            raise NotFoundError(f"model {name} has no version {version}", hint=f"`shipway models {name}` lists them")
        with self._server.client() as client:
            client.set_registered_model_alias(name, alias, version)

    def versions(self, name: str) -> Sequence[ModelVersion]:
        check_name(name)
        with self._server.client() as client:
            return self._list(client, name)

    def _list(self, client: "MlflowClient", name: str) -> list[ModelVersion]:
        page: Any = client.search_model_versions(f"name = '{name}'")
        found = list(page)
        while page.token:
            page = client.search_model_versions(f"name = '{name}'", page_token=page.token)
            found.extend(page)
        ours = [one for one in found if TREE in one.tags]
        if not ours:
            return []
        aliases = self._aliases(client, name)
        return sorted((_version(one, aliases) for one in ours), key=lambda one: -int(one.version or 0))

    def _same(self, version: ModelVersion) -> ModelVersion | None:
        """The lowest number with this tree and triple: the one that every registrant agrees on."""
        with self._server.client() as client:
            return next((one for one in reversed(self._list(client, version.name)) if same_model(one, version)), None)

    def _create(self, client: "MlflowClient", version: ModelVersion, run: str, location: str) -> str:
        made = client.create_model_version(
            version.name, location, run_id=run, tags=to_fields(version), await_creation_for=60
        )
        return str(made.version)

    def _settle(self, client: "MlflowClient", version: ModelVersion, number: str) -> ModelVersion:
        """Two registrants on one server both made a version: the lower number stays, its maker sees no other."""
        chosen = self._same(version)
        if chosen is None:
            raise ConflictError(f"version {number} of model {version.name} went away while it was registered")
        if chosen.version != number:
            client.delete_model_version(version.name, number)
        return chosen

    def _own_run(self, version: ModelVersion) -> str:
        """A run for a model that no tracked run made; found again by a name that follows from the version."""
        triple = version.triple
        mark = digest_of("\n".join((version.name, version.tree, triple.code, triple.data, triple.environment)).encode())
        return self._tracker.start(f"model-{mark[:16]}", name=f"register {version.name}", tags={TREE: version.tree})

    def _aliases(self, client: "MlflowClient", name: str) -> Mapping[str, str]:
        return {alias: str(number) for alias, number in client.get_registered_model(name).aliases.items()}


def _version(found: Any, aliases: Mapping[str, str]) -> ModelVersion:
    number = str(found.version)
    mine = tuple(sorted(alias for alias, at in aliases.items() if at == number))
    if TREE not in found.tags:
        raise UnsupportedError(
            f"version {number} of model {found.name} was not registered by Shipway",
            hint=f"move the alias away ({', '.join(mine)}), or register the model with `shipway ship`"
            if mine
            else None,
        )
    version = from_fields(found.name, number, found.tags)
    return msgspec.structs.replace(version, aliases=mine, created=found.creation_timestamp / 1000)


def _artifact_path(version: ModelVersion) -> str:
    """Named by content, so that a repeat writes the same files, and another model of the run never mixes with them."""
    return f"models/{version.name}/{version.tree[:12]}"


def _ensure_model(client: "MlflowClient", name: str) -> None:
    try:
        client.create_registered_model(name)
    except Exception as error:
        if getattr(error, "error_code", None) not in ("RESOURCE_ALREADY_EXISTS", "ALREADY_EXISTS"):
            raise


def _is_absent(error: Exception) -> bool:
    code = getattr(error, "error_code", None)
    # A missing alias of a model that exists is, to MLflow, a bad parameter.
    return code in ("RESOURCE_DOES_NOT_EXIST", "NOT_FOUND") or (
        code == "INVALID_PARAMETER_VALUE" and "not found" in str(error)
    )
