"""The tracking suites in memory."""

from shipway.specs.runs import RunState
from shipway.testing.tracking_conformance import RegistryConformance, Seen, TrackerConformance
from shipway.tracking.base import ModelRegistry, Tracker
from shipway.tracking.memory import MemoryRegistry, MemoryTracker, TrackedRun

RUNS: dict[str, TrackedRun] = {}
REGISTRY = MemoryRegistry()


class TestMemoryTracker(TrackerConformance):
    states = {state: state.value for state in RunState}

    def open(self) -> Tracker:
        return MemoryTracker(RUNS)

    def see(self, tracked: str) -> Seen:
        run = RUNS[tracked]
        names = {metric.name for metric in run.metrics}
        return Seen(
            name=run.name,
            state=run.state.value,
            params=dict(run.params),
            tags=dict(run.tags),
            metrics={
                name: [(metric.step, metric.value) for metric in run.metrics if metric.name == name] for name in names
            },
            artifacts=dict(run.artifacts),
        )


class TestMemoryRegistry(RegistryConformance):
    def open(self) -> ModelRegistry:
        return REGISTRY
