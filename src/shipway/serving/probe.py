"""One real prediction before a revision is called ready: `probe.json` in the bundle, a V1 or V2 request body."""

from collections.abc import Callable
from pathlib import Path

import msgspec

from shipway.serving import v1, v2
from shipway.serving.batching import Outputs
from shipway.serving.dataplane import Call, DataPlane
from shipway.serving.faults import InvalidInputError

FILE = "probe.json"


def read(bundle: Path, plane: DataPlane) -> Call | None:
    """None where the bundle has no probe. Raises InvalidInputError."""
    path = bundle / FILE
    if not path.exists():
        return None
    body = path.read_bytes()
    try:
        first = "instances" in msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, TypeError) as error:
        raise InvalidInputError(f"{FILE}: {error}") from error
    return v1.read(body, plane.inputs, plane.outputs) if first else v2.read(body)[0]


def run(call: Call | None, plane: DataPlane, done: Callable[[Exception | None], None]) -> None:
    """Call `done` with None where the model answered or there is nothing to ask, else with what went wrong."""
    if call is None:
        done(None)
        return

    def answered(result: Outputs | Exception) -> None:
        done(result if isinstance(result, Exception) else None)

    plane.infer(call, answered)
