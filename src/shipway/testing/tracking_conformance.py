"""
What every tracker and every model registry does, as tests.

Subclass `TrackerConformance` and `RegistryConformance` once for each implementation and give the fixtures and hooks that they name.
Every test uses names of its own, so one backend may serve them all.
"""

import math
import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import msgspec
import pytest

from shipway.errors import NotFoundError, UsageError
from shipway.specs.models import ModelVersion, Triple
from shipway.specs.runs import RunState
from shipway.specs.trees import ROOT, Digest, Entry, Tree, digest_of
from shipway.tracking.base import ModelRegistry, TrackedMetric, Tracker

T = TypeVar("T")


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What a person finds at the tracker: metrics as (step, value), artifacts by their paths."""

    name: str
    state: str
    params: Mapping[str, str]
    tags: Mapping[str, str]
    metrics: Mapping[str, Sequence[tuple[int, float]]]
    artifacts: Mapping[str, bytes]


def at_once(work: Sequence[Callable[[], T]]) -> list[T]:
    """Do everything at the same time, each in its own thread; the first error is raised."""
    gate = threading.Barrier(len(work))
    results: list[Any] = [None] * len(work)

    def one(place: int) -> None:
        gate.wait()
        try:
            results[place] = work[place]()
        except BaseException as error:
            results[place] = error

    threads = [threading.Thread(target=one, args=(place,)) for place in range(len(work))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results


class TrackerConformance:
    """`open` makes another instance over the same backend, as another driver has it; `see` looks at a run from outside."""

    states: ClassVar[Mapping[RunState, str]]
    """What `see` calls the state of a run that ended so."""
    starts_once: ClassVar[bool] = True
    """Whether of two drivers that start one run at the same moment both surely get the same id."""

    def open(self) -> Tracker:
        raise NotImplementedError

    def see(self, tracked: str) -> Seen:
        raise NotImplementedError

    @pytest.fixture
    def tracker(self) -> Tracker:
        return self.open()

    @pytest.fixture
    def run(self) -> str:
        return f"run-{uuid.uuid4().hex[:12]}"

    @pytest.fixture
    def tracked(self, tracker: Tracker, run: str) -> str:
        return tracker.start(run, name=f"name of {run}", tags={"shipway.code": "abc"}, at=1000.0)

    def test_starting_a_run_again_finds_it(self, tracker: Tracker, run: str, tracked: str) -> None:
        assert tracker.start(run, name="another name", tags={"shipway.data": "d1"}, at=2000.0) == tracked
        assert self.open().start(run, name=run, tags={}) == tracked
        seen = self.see(tracked)
        assert seen.name == f"name of {run}"
        assert (seen.tags["shipway.run"], seen.tags["shipway.code"], seen.tags["shipway.data"]) == (run, "abc", "d1")

    def test_two_runs_have_two_ids(self, tracker: Tracker, run: str, tracked: str) -> None:
        assert tracker.start(f"{run}-2", name="second", tags={}) != tracked

    def test_drivers_that_start_a_run_at_once_agree(self, run: str) -> None:
        drivers = [self.open() for _ in range(4)]
        ids = at_once([partial(driver.start, run, name=run, tags={}, at=5.0) for driver in drivers])
        if not self.starts_once:
            ids = [driver.start(run, name=run, tags={}, at=5.0) for driver in drivers]
        assert len(set(ids)) == 1

    def test_the_first_value_of_a_parameter_is_kept(self, tracker: Tracker, tracked: str) -> None:
        tracker.log(tracked, params={"lr": "0.1", "depth": "3"})
        tracker.log(tracked, params={"lr": "0.2", "new": "x"})
        assert self.see(tracked).params == {"lr": "0.1", "depth": "3", "new": "x"}

    def test_a_tag_takes_its_last_value(self, tracker: Tracker, tracked: str) -> None:
        tracker.log(tracked, tags={"verdict": "held"})
        tracker.log(tracked, tags={"verdict": "open"})
        assert self.see(tracked).tags["verdict"] == "open"

    def test_a_repeated_metric_is_one_value(self, tracker: Tracker, tracked: str) -> None:
        series = [TrackedMetric(name="loss", value=1.0 / (step + 1), at=7.5, step=step) for step in range(3)]
        for driver in (tracker, self.open()):
            driver.log(tracked, metrics=[*series, TrackedMetric(name="accuracy", value=0.5, at=8.0)])
        seen = self.see(tracked).metrics
        assert list(seen["loss"]) == [(0, 1.0), (1, 0.5), (2, 1.0 / 3)]
        assert list(seen["accuracy"]) == [(0, 0.5)]

    def test_nan_stays_nan_and_infinity_stays_huge(self, tracker: Tracker, tracked: str) -> None:
        odd = [TrackedMetric(name=name, value=float(name), at=1.0) for name in ("nan", "inf", "-inf")]
        for _ in range(2):
            tracker.log(tracked, metrics=odd)
        seen = self.see(tracked).metrics
        assert [len(seen[name]) for name in ("nan", "inf", "-inf")] == [1, 1, 1]
        assert math.isnan(seen["nan"][0][1])
        assert seen["inf"][0][1] > 1e300
        assert seen["-inf"][0][1] < -1e300

    def test_more_than_one_request_can_hold_arrives(self, tracker: Tracker, tracked: str) -> None:
        many = {f"p{number}": str(number) for number in range(130)}
        metrics = [TrackedMetric(name="m", value=float(step), at=1.0, step=step) for step in range(1100)]
        tracker.log(tracked, params=many, tags=many, metrics=metrics)
        seen = self.see(tracked)
        assert seen.params == many
        assert set(many) <= set(seen.tags)
        assert [step for step, _ in seen.metrics["m"]] == list(range(1100))

    def test_long_values_are_kept_at_least_in_part(self, tracker: Tracker, tracked: str) -> None:
        tracker.log(tracked, params={"long": "é" * 20_000}, tags={"long": "é" * 20_000})
        seen = self.see(tracked)
        assert seen.params["long"].startswith("é" * 5000)
        assert seen.tags["long"].startswith("é" * 5000)

    @pytest.mark.parametrize("name", ["f1@5", "accuracy (top 1, %)", "a//b", "../up", "/root", ".", "a/./b", "ümlaut"])
    def test_odd_names_are_kept_under_some_name(self, tracker: Tracker, tracked: str, name: str) -> None:
        for _ in range(2):
            tracker.log(
                tracked, params={name: "1"}, metrics=[TrackedMetric(name=name, value=1.0, at=1.0)], tags={name: "1"}
            )
        seen = self.see(tracked)
        assert list(seen.params.values()) == ["1"]
        assert list(seen.metrics.values()) == [[(0, 1.0)]]

    @pytest.mark.parametrize("name", ["", "x" * 300])
    def test_a_name_that_cannot_be_kept_is_a_usage_error(self, tracker: Tracker, tracked: str, name: str) -> None:
        with pytest.raises(UsageError):
            tracker.log(tracked, params={name: "1"})
        with pytest.raises(UsageError):
            tracker.log(tracked, metrics=[TrackedMetric(name=name, value=1.0, at=1.0)])

    def test_a_file_and_a_directory_are_found_under_their_names(
        self, tracker: Tracker, tracked: str, tmp_path: Path
    ) -> None:
        (tmp_path / "made" / "deep").mkdir(parents=True)
        (tmp_path / "made" / "a.png").write_bytes(b"a")
        (tmp_path / "made" / "deep" / "b.png").write_bytes(b"b")
        for _ in range(2):
            tracker.save(tracked, tmp_path / "made", "evaluation/plots")
            tracker.save(tracked, tmp_path / "made" / "a.png", "top.png")
            tracker.save(tracked, tmp_path / "made" / "a.png", "logs/a.png")
        assert self.see(tracked).artifacts == {
            "evaluation/plots/a.png": b"a",
            "evaluation/plots/deep/b.png": b"b",
            "top.png": b"a",
            "logs/a.png": b"a",
        }

    def test_a_missing_artifact_is_not_found(self, tracker: Tracker, tracked: str, tmp_path: Path) -> None:
        with pytest.raises(NotFoundError, match="plot"):
            tracker.save(tracked, tmp_path / "nothing", "plot")

    @pytest.mark.parametrize("state", [state for state in RunState if state.terminal])
    def test_the_end_is_shown_and_later_values_are_kept(self, tracker: Tracker, tracked: str, state: RunState) -> None:
        assert self.see(tracked).state == self.states[RunState.RUNNING]
        for _ in range(2):
            tracker.finish(tracked, state, at=3000.0)
        tracker.log(tracked, params={"late": "1"}, metrics=[TrackedMetric(name="late", value=1.0, at=1.0)])
        seen = self.see(tracked)
        assert seen.state == self.states[state]
        assert seen.params == {"late": "1"}
        assert list(seen.metrics["late"]) == [(0, 1.0)]

    def test_an_unknown_run_is_not_found(self, tracker: Tracker, tmp_path: Path) -> None:
        (tmp_path / "file").write_bytes(b"x")
        nobody = uuid.uuid4().hex
        acts: tuple[Callable[[], None], ...] = (
            lambda: tracker.log(nobody, params={"a": "1"}),
            lambda: tracker.log(nobody, metrics=[TrackedMetric(name="a", value=1.0, at=1.0)]),
            lambda: tracker.save(nobody, tmp_path / "file", "file"),
            lambda: tracker.finish(nobody, RunState.FAILED),
        )
        for act in acts:
            with pytest.raises(NotFoundError):
                act()

    def test_a_stage_is_told_the_run_once_there_is_one(self, tracker: Tracker, tracked: str) -> None:
        assert tracked in tracker.environment(tracked).values()
        assert tracked not in tracker.environment(None).values()


class RegistryConformance:
    """`open` makes another instance over the same backend; `keep` is told of each model before it is registered."""

    def open(self) -> ModelRegistry:
        raise NotImplementedError

    def keep(self, tree: Tree, source: Path) -> None:
        """Put the tree into the store, for a registry that looks there."""

    @pytest.fixture
    def registry(self) -> ModelRegistry:
        return self.open()

    @pytest.fixture
    def name(self) -> str:
        return f"digits 2.0-{uuid.uuid4().hex[:12]}"

    @pytest.fixture
    def model(self, tmp_path: Path) -> Callable[[bytes], tuple[Digest, Path]]:
        """Makes a model of one file from its content."""

        def make(content: bytes) -> tuple[Digest, Path]:
            source = tmp_path / digest_of(content)[:8] / "model.bin"
            source.parent.mkdir(exist_ok=True)
            source.write_bytes(content)
            tree = Tree((Entry(ROOT, digest_of(content), len(content)),))
            self.keep(tree, source)
            return tree.digest, source

        return make

    @pytest.fixture
    def register(self, registry: ModelRegistry, name: str, model: Callable[[bytes], tuple[Digest, Path]]) -> "Register":
        return Register(registry, name, model)

    def test_an_unknown_model_has_no_versions(self, registry: ModelRegistry, name: str) -> None:
        assert list(registry.versions(name)) == []
        assert registry.resolve(name, "champion") is None
        assert registry.resolve(name, "1") is None

    def test_versions_are_numbered_and_listed_newest_first(
        self, registry: ModelRegistry, name: str, register: "Register"
    ) -> None:
        assert [register(content).version for content in (b"one", b"two", b"three")] == ["1", "2", "3"]
        assert [version.version for version in registry.versions(name)] == ["3", "2", "1"]

    def test_ten_versions_are_listed_by_number_not_by_text(
        self, registry: ModelRegistry, name: str, register: "Register"
    ) -> None:
        for number in range(11):
            register(b"model %d" % number)
        assert [version.version for version in registry.versions(name)] == [str(n) for n in range(11, 0, -1)]

    def test_the_same_tree_and_triple_is_one_version(
        self, registry: ModelRegistry, name: str, register: "Register"
    ) -> None:
        first = register(b"one", run="r1")
        register(b"two")
        assert register(b"one", run="r2") == first
        assert len(registry.versions(name)) == 2

    @pytest.mark.parametrize("part", ["code", "data", "environment"])
    def test_another_triple_is_another_version(self, register: "Register", part: str) -> None:
        assert register(b"one").version == "1"
        assert register(b"one", **{part: "other"}).version == "2"

    def test_everything_about_a_version_is_read_back(
        self, registry: ModelRegistry, name: str, register: "Register"
    ) -> None:
        made = register(b"one", metrics={"accuracy": 0.91, "loss": 1e-12}, verdict="open: accuracy >= 0.9 (é)")
        found = self.open().resolve(name, "1")
        assert found == made
        assert found is not None
        assert found.created is not None
        asked = register.version(b"one", metrics={"accuracy": 0.91, "loss": 1e-12}, verdict="open: accuracy >= 0.9 (é)")
        assert found == msgspec.structs.replace(asked, version="1", created=found.created)
        assert list(registry.versions(name)) == [found]

    def test_metrics_that_are_no_numbers_are_read_back(
        self, registry: ModelRegistry, name: str, register: "Register"
    ) -> None:
        register(b"one", metrics={"a": math.nan, "b": math.inf})
        found = registry.resolve(name, "1")
        assert found is not None
        assert math.isnan(found.metrics["a"])
        assert found.metrics["b"] == math.inf

    def test_a_directory_can_be_a_model(self, registry: ModelRegistry, name: str, tmp_path: Path) -> None:
        source = tmp_path / "model"
        source.mkdir()
        (source / "MLmodel").write_bytes(b"flavors: {}")
        (source / "weights").write_bytes(b"w")
        tree = Tree((Entry("MLmodel", digest_of(b"flavors: {}"), 11), Entry("weights", digest_of(b"w"), 1)))
        self.keep(tree, source)
        assert registry.register(sample(name, tree.digest), source).version == "1"

    def test_an_alias_moves(self, registry: ModelRegistry, name: str, register: "Register") -> None:
        one, two = register(b"one"), register(b"two")
        registry.promote(name, "1", "champion")
        registry.promote(name, "2", "challenger")
        registry.promote(name, "2", "champion")
        registry.promote(name, "2", "champion")
        assert self.open().resolve(name, "champion") == msgspec.structs.replace(two, aliases=("challenger", "champion"))
        assert list(registry.versions(name)) == [msgspec.structs.replace(two, aliases=("challenger", "champion")), one]

    def test_an_alias_that_nobody_has_resolves_to_nothing(
        self, registry: ModelRegistry, name: str, register: "Register"
    ) -> None:
        register(b"one")
        assert registry.resolve(name, "champion") is None
        assert registry.resolve(name, "2") is None

    @pytest.mark.parametrize("version", ["2", "champion", ""])
    def test_only_a_version_that_is_there_can_be_promoted(
        self, registry: ModelRegistry, name: str, register: "Register", version: str
    ) -> None:
        register(b"one")
        registry.promote(name, "1", "champion")
        with pytest.raises(NotFoundError, match=name):
            registry.promote(name, version, "champion")
        with pytest.raises(NotFoundError):
            registry.promote(f"{name}-unknown", "1", "champion")

    @pytest.mark.parametrize("alias", ["", "a b", "3", "v3", "latest", "a/b"])
    def test_an_alias_that_looks_like_something_else_is_refused(
        self, registry: ModelRegistry, name: str, register: "Register", alias: str
    ) -> None:
        register(b"one")
        with pytest.raises(UsageError):
            registry.promote(name, "1", alias)

    @pytest.mark.parametrize("bad", ["", "a/b", "a:b", "..", "it's", "x" * 300])
    def test_a_name_that_cannot_be_kept_is_refused(
        self, registry: ModelRegistry, bad: str, model: Callable[[bytes], tuple[Digest, Path]]
    ) -> None:
        tree, source = model(b"one")
        with pytest.raises(UsageError):
            registry.register(sample(bad, tree), source)

    def test_a_missing_model_is_not_found(self, registry: ModelRegistry, name: str, tmp_path: Path) -> None:
        with pytest.raises(NotFoundError, match=name):
            registry.register(sample(name, digest_of(b"nowhere")), tmp_path / "nothing")

    def test_registrants_of_one_model_at_once_agree(
        self, name: str, model: Callable[[bytes], tuple[Digest, Path]]
    ) -> None:
        tree, source = model(b"one")
        registries = [self.open() for _ in range(4)]
        made = at_once([partial(one.register, sample(name, tree), source) for one in registries])
        assert {version.version for version in made} == {"1"}
        assert len(self.open().versions(name)) == 1

    def test_registrants_of_many_models_at_once_get_a_number_each(
        self, name: str, model: Callable[[bytes], tuple[Digest, Path]]
    ) -> None:
        models = [model(b"model %d" % number) for number in range(4)]
        registries = [self.open() for _ in models]
        work = zip(registries, models, strict=True)
        at_once([partial(one.register, sample(name, tree), source) for one, (tree, source) in work])
        found = self.open().versions(name)
        assert [version.version for version in found] == ["4", "3", "2", "1"]
        assert {version.tree for version in found} == {tree for tree, _ in models}


def sample(name: str, tree: Digest, **more: Any) -> ModelVersion:
    """A version to register; `code`, `data` and `environment` make its triple."""
    triple = Triple(**{part: more.pop(part, f"{part}-1") for part in ("code", "data", "environment")})
    return ModelVersion(**{"name": name, "tree": tree, "triple": triple, "key": digest_of(b"key"), "run": "r1", **more})


class Register:
    """Registers a model by its content."""

    def __init__(self, registry: ModelRegistry, name: str, model: Callable[[bytes], tuple[Digest, Path]]) -> None:
        self._registry = registry
        self._name = name
        self._model = model

    def version(self, content: bytes, **more: Any) -> ModelVersion:
        return sample(self._name, self._model(content)[0], **more)

    def __call__(self, content: bytes, **more: Any) -> ModelVersion:
        return self._registry.register(self.version(content, **more), self._model(content)[1])
