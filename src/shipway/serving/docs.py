"""Documents that don't change while the server runs: what it is, which models it has."""

import msgspec

from shipway.serving.settings import Settings

_encode = msgspec.json.Encoder().encode


def server() -> bytes:
    return _encode({"name": "shipway", "version": "1", "extensions": []})


def models(settings: Settings) -> bytes:
    return _encode({"models": [settings.name]})


def v1_model(settings: Settings) -> bytes:
    return _encode({"name": settings.name, "ready": True})
