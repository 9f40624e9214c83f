"""Verification: an endpoint must answer the samples as the model did offline, exactly for labels and within a tolerance for floats."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from shipway.delivery.calls import Caller
from shipway.delivery.samples import Batch, Protocol, Samples, flat
from shipway.errors import NotFoundError, ShipwayError, UnavailableError, VerificationError

ROWS_PER_REQUEST = 64
SHOWN = 5


class Difference(msgspec.Struct, frozen=True):
    """`place` says where in the row, for predictions of several numbers."""

    row: int
    place: str
    expected: Any
    got: Any

    def __str__(self) -> str:
        return f"row {self.row}{self.place}: expected {_short(self.expected)}, got {_short(self.got)}"


def verify(url: str, model: str, samples: Samples, tolerance: float) -> str | None:
    """
    Send all samples; return the name of the revision that answered, where the endpoint tells.

    A float may be off by `tolerance`, times the expected value where that is above 1. Raises VerificationError, and UnavailableError where
    the endpoint does not answer.
    """
    differences: list[Difference] = []
    answered: str | None = None
    with Caller(url) as caller:
        for batch in samples.batches(ROWS_PER_REQUEST):
            try:
                reply = caller.post(samples.protocol.path(model), batch.body)
            except UnavailableError:
                raise
            except ShipwayError as error:
                rows = f"rows {batch.first} to {batch.first + ROWS_PER_REQUEST - 1}"
                raise VerificationError(f"{model}: the samples were refused ({rows}): {error.message}") from error
            differences += compare(samples.protocol, batch, reply.body, tolerance)
            answered = reply.revision
    if differences:
        raise _differ(model, samples.rows, differences)
    return answered


def check_revision(url: str, revision: str) -> None:
    """Raise VerificationError unless `revision` is who answers at `url`; an endpoint that doesn't tell is believed."""
    with Caller(url) as caller:
        try:
            answered = caller.get("/v2/health/ready").revision
        except NotFoundError:
            return
    if answered is not None and answered != revision:
        raise VerificationError(f"{url} answers by {answered}, not by {revision}")


def _differ(model: str, rows: int, differences: Sequence[Difference]) -> VerificationError:
    wrong = len({difference.row for difference in differences})
    lines = [f"{model}: {wrong} of {rows} predictions differ from those made offline"]
    lines += [f"  {difference}" for difference in differences[:SHOWN]]
    if len(differences) > SHOWN:
        lines.append(f"  and {len(differences) - SHOWN} more")
    hint = "the served model, its environment or the samples differ from what was evaluated; a float may need a larger `tolerance`"
    return VerificationError("\n".join(lines), hint=hint)


def compare(protocol: Protocol, batch: Batch, answer: Any, tolerance: float) -> list[Difference]:
    """All differences between what a batch expects and a response body."""
    if protocol is Protocol.V1:
        predictions = answer.get("predictions") if isinstance(answer, dict) else None
        return list(_rows(batch, predictions, tolerance))
    return list(_tensors(batch, answer, tolerance))


def _rows(batch: Batch, predictions: Any, tolerance: float) -> Iterator[Difference]:
    if not isinstance(predictions, list) or len(predictions) != len(batch.expected):
        got = f"{len(predictions)} predictions" if isinstance(predictions, list) else predictions
        yield Difference(batch.first, "", f"{len(batch.expected)} predictions", got)
        return
    for at, (expected, got) in enumerate(zip(batch.expected, predictions, strict=True)):
        for place, left, right in _values(expected, got, tolerance, ""):
            yield Difference(batch.first + at, place, left, right)


def _tensors(batch: Batch, answer: Any, tolerance: float) -> Iterator[Difference]:
    outputs = answer.get("outputs") if isinstance(answer, dict) else None
    if not isinstance(outputs, list):
        yield Difference(batch.first, "", "outputs", outputs)
        return
    named = {tensor.get("name"): tensor for tensor in outputs if isinstance(tensor, dict)}
    for expected in batch.expected:
        got = named.get(expected["name"])
        if got is None:
            yield Difference(batch.first, "", f"output {expected['name']}", f"outputs {', '.join(map(str, named))}")
        elif got.get("shape") != expected["shape"]:
            yield Difference(
                batch.first, f" {expected['name']}", f"shape {expected['shape']}", f"shape {got.get('shape')}"
            )
        else:
            yield from _tensor(batch.first, expected, got, tolerance)


def _tensor(first: int, expected: Mapping[str, Any], got: Mapping[str, Any], tolerance: float) -> Iterator[Difference]:
    width = max(1, math.prod(expected["shape"][1:]))
    lefts, rights = flat(expected["data"]), flat(got.get("data") or [])
    if len(lefts) != len(rights):
        yield Difference(first, f" {expected['name']}", f"{len(lefts)} values", f"{len(rights)} values")
        return
    for at, (left, right) in enumerate(zip(lefts, rights, strict=True)):
        if not _same(left, right, tolerance):
            within = f"[{at % width}]" if width > 1 else ""
            yield Difference(first + at // width, f" {expected['name']}{within}", left, right)


def _values(expected: Any, got: Any, tolerance: float, place: str) -> Iterator[tuple[str, Any, Any]]:
    """Walk both values; yield the place and both sides of each difference."""
    if isinstance(expected, list) and isinstance(got, list) and len(expected) == len(got):
        for at, (left, right) in enumerate(zip(expected, got, strict=True)):
            yield from _values(left, right, tolerance, f"{place}[{at}]")
    elif isinstance(expected, dict) and isinstance(got, dict) and expected.keys() == got.keys():
        for key, left in expected.items():
            yield from _values(left, got[key], tolerance, f"{place}.{key}")
    elif not _same(expected, got, tolerance):
        yield place, expected, got


def _same(expected: Any, got: Any, tolerance: float) -> bool:
    if _missing(expected) and _missing(got):
        return True
    if not (_is_float(expected, got) or _is_float(got, expected)):
        return type(expected) is type(got) and bool(expected == got)
    if math.isinf(expected) or math.isinf(got):
        return bool(expected == got)
    return bool(abs(expected - got) <= tolerance * max(1.0, abs(expected)))


def _missing(value: Any) -> bool:
    """NaN, which strict JSON can only say as null."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def _is_float(one: Any, other: Any) -> bool:
    """A float beside any number: 3 and 3.0 are the same prediction, true and 1.0 are not."""
    return isinstance(one, float) and isinstance(other, int | float) and not isinstance(other, bool)


def _short(value: Any) -> str:
    text = str(value) if isinstance(value, str) else repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
