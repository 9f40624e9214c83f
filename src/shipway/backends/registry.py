"""Backend kinds by name, built in or from installed plugins (entry points of the group `shipway.backends`); a module is imported when it is asked for."""

from importlib import import_module

from shipway.backends.base import Backend
from shipway.errors import ConfigError

GROUP = "shipway.backends"
BUILT_IN = {
    "process": "shipway.backends.process:ProcessBackend",
}


def backend_class(kind: str) -> type[Backend]:
    """Raises ConfigError for a kind that nobody provides, or whose plugin cannot be imported."""
    if kind in BUILT_IN:
        return _load(BUILT_IN[kind])
    plugins = _plugins()
    if kind not in plugins:
        known = sorted({**plugins, **BUILT_IN})
        from difflib import get_close_matches

        near = get_close_matches(kind, known, n=1)
        raise ConfigError(
            [f"unknown site kind {kind!r}"],
            hint=f"did you mean {near[0]!r}?" if near else f"one of: {', '.join(known)}",
        )
    try:
        return _load(plugins[kind])
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            [f"site kind {kind!r}: its plugin {plugins[kind]!r} cannot be imported: {error}"],
            hint="install the plugin again",
        ) from error


def _plugins() -> dict[str, str]:
    from importlib.metadata import entry_points  # costs more time than a whole stage

    return {point.name: point.value for point in entry_points(group=GROUP)}


def _load(place: str) -> type[Backend]:
    module, _, name = place.partition(":")
    found = getattr(import_module(module), name)
    if not (isinstance(found, type) and issubclass(found, Backend)):
        raise ConfigError(
            [f"{place} is not a backend"], hint="a plugin names a subclass of shipway.backends.base.Backend"
        )
    return found
