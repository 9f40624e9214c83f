"""Counts and times in Prometheus' text format, version 0.0.4; as little work per request as a dictionary and a bisection."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Sequence

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


class Histogram:
    """Observations by bucket; `bounds` are upper limits that belong to their bucket."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def lines(self, name: str, labels: str = "") -> Iterator[str]:
        below = 0
        for bound, count in zip((*self.bounds, "+Inf"), self.counts, strict=True):
            below += count
            yield f'{name}_bucket{{{labels}{"," if labels else ""}le="{bound}"}} {below}'
        braces = f"{{{labels}}}" if labels else ""
        yield f"{name}_sum{braces} {self.total}"
        yield f"{name}_count{braces} {below}"


class Metrics:
    """What this process has done since it started."""

    def __init__(self) -> None:
        self.requests: defaultdict[tuple[str, int], int] = defaultdict(int)
        self.latency: defaultdict[str, Histogram] = defaultdict(lambda: Histogram(SECONDS))
        self.batches = Histogram(ROWS)
        self.in_flight = 0

    def answered(self, route: str, status: int, seconds: float) -> None:
        self.requests[route, status] += 1
        self.latency[route].observe(seconds)

    def text(self) -> bytes:
        return "\n".join((*self._lines(), "")).encode()

    def _lines(self) -> Iterator[str]:
        yield from _head("shipway_requests_total", "counter", "Requests answered, by route and status code.")
        for (route, status), count in sorted(self.requests.items()):
            yield f'shipway_requests_total{{route="{route}",code="{status}"}} {count}'
        yield from _head(
            "shipway_request_seconds", "histogram", "From the whole request being read to its answer being written."
        )
        for route, histogram in sorted(self.latency.items()):
            yield from histogram.lines("shipway_request_seconds", f'route="{route}"')
        yield from _head("shipway_batch_rows", "histogram", "Rows in one call of the model.")
        yield from self.batches.lines("shipway_batch_rows")
        yield from _head("shipway_requests_in_flight", "gauge", "Requests read but not answered.")
        yield f"shipway_requests_in_flight {self.in_flight}"


def _head(name: str, kind: str, text: str) -> Iterator[str]:
    yield f"# HELP {name} {text}"
    yield f"# TYPE {name} {kind}"
