"""From the kind in `shipway.yaml` to the endpoint, importing only the one that is asked for; plugins enter by `shipway.endpoints`."""

from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path

from shipway.endpoints.base import Endpoint
from shipway.errors import UsageError
from shipway.specs.stages import EndpointSpec

GROUP = "shipway.endpoints"
OURS = {"process": ("shipway.endpoints.process", "ProcessEndpoint")}


def kinds() -> tuple[str, ...]:
    return tuple(sorted({*OURS, *(entry.name for entry in entry_points(group=GROUP))}))


def endpoint_class(kind: str) -> type[Endpoint]:
    """Raises UsageError."""
    if kind in OURS:
        module, name = OURS[kind]
        found = getattr(import_module(module), name)
    else:
        entry = next(iter(entry_points(group=GROUP, name=kind)), None)
        if entry is None:
            raise UsageError(f"there is no endpoint kind {kind!r}", hint=f"kinds: {', '.join(kinds())}")
        found = entry.load()
    if not (isinstance(found, type) and issubclass(found, Endpoint)):
        raise UsageError(f"endpoint kind {kind!r}: {found!r} is no Endpoint")
    return found


def open_endpoint(spec: EndpointSpec, home: Path) -> Endpoint:
    """Every endpoint class takes its spec and the directory for what endpoints keep on this machine."""
    build = endpoint_class(spec.kind)
    return build(spec, home)  # type: ignore[call-arg]  # the port has no constructor; this is the registry's own rule
