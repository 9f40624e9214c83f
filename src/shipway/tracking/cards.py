"""A model version as flat text fields, which is how registries keep it: MLflow as tags, the store as one JSON object."""

import json
import math
from collections.abc import Mapping

from shipway.errors import UnsupportedError, UsageError
from shipway.specs.models import ModelVersion, Triple
from shipway.specs.trees import Digest

TREE = "shipway.tree"


def to_fields(version: ModelVersion) -> dict[str, str]:
    """All but name, number, aliases and time of creation, which every registry keeps in its own way."""
    fields = {
        TREE: version.tree,
        "shipway.code": version.triple.code,
        "shipway.data": version.triple.data,
        "shipway.environment": version.triple.environment,
        "shipway.key": version.key,
        "shipway.run": version.run,
        "shipway.metrics": _metrics_text(version.metrics),
    }
    return fields if version.verdict is None else {**fields, "shipway.verdict": version.verdict}


def from_fields(name: str, number: str, fields: Mapping[str, str]) -> ModelVersion:
    """Raises UnsupportedError for a version that someone else registered."""
    try:
        return ModelVersion(
            name=name,
            version=number,
            tree=Digest(fields[TREE]),
            triple=Triple(
                code=fields["shipway.code"], data=fields["shipway.data"], environment=fields["shipway.environment"]
            ),
            key=Digest(fields["shipway.key"]),
            run=fields["shipway.run"],
            verdict=fields.get("shipway.verdict"),
            metrics={name: float(value) for name, value in json.loads(fields["shipway.metrics"]).items()},
        )
    except (KeyError, ValueError) as error:
        message = f"version {number} of model {name} was not registered by Shipway (it has no usable {error})"
        raise UnsupportedError(
            message, hint="move its alias away, or register the model with `shipway ship`"
        ) from error


def same_model(one: ModelVersion, other: ModelVersion) -> bool:
    """Whether both have the same tree and triple, and so are one version."""
    return one.tree == other.tree and one.triple == other.triple


def check_name(name: str) -> None:
    """Raises UsageError for a name that not every registry can keep."""
    if (
        not name
        or len(name) > 200
        or name.startswith(".")
        or any(sign in name for sign in "/:'\"\\")
        or not name.isprintable()
    ):
        raise UsageError(f"model name {name!r} cannot be registered", hint="use letters, digits, dots and dashes")


def check_alias(alias: str) -> None:
    """Raises UsageError for an alias that could be taken for a version, or that MLflow keeps for itself."""
    if not alias.replace("-", "").replace("_", "").isalnum() or alias.removeprefix("v").isdigit() or alias == "latest":
        raise UsageError(f"alias {alias!r} cannot be used", hint="use letters, digits and dashes, as in `champion`")


def _metrics_text(metrics: Mapping[str, float]) -> str:
    """JSON has no NaN and no infinity, so they stand as text."""
    return json.dumps(
        {name: value if math.isfinite(value) else str(value) for name, value in metrics.items()}, sort_keys=True
    )
