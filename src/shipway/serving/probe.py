"""One real prediction before a revision is called ready: `probe.json` in the bundle, a V1 or V2 request body."""

from collections.abc import Callable
from pathlib import Path

import msgspec

from shipway.serving.app import App
from shipway.serving.messages import Request, Response
from shipway.serving.settings import Settings

FILE = "probe.json"


def probe(bundle: Path, app: App, settings: Settings, done: Callable[[str | None], None]) -> None:
    """Call `done` with None where the model answered or the bundle has no probe, else with what went wrong."""
    path = bundle / FILE
    if not path.exists():
        done(None)
        return
    body = path.read_bytes()

    def answered(response: Response) -> None:
        done(None if response.status == 200 else response.body.decode())

    app.handle(Request(b"POST", _target(body, settings).encode(), {}, body), answered)


def _target(body: bytes, settings: Settings) -> str:
    try:
        first = "instances" in msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, TypeError):
        first = False  # V2 will say what is wrong with it
    return f"/v1/models/{settings.name}:predict" if first else f"/v2/models/{settings.name}/infer"
