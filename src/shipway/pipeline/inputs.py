"""What a stage reads: from the project as it stands now, from other stages' outputs, from params.yaml."""

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Protocol

import msgspec

from shipway.errors import ConfigError, StageError, UnsafePathError
from shipway.pipeline.graph import Graph
from shipway.specs.globs import glob_head, is_glob, matches, reaches, within
from shipway.specs.jobs import Mount
from shipway.specs.stages import JsonValue, Stage
from shipway.specs.trees import ROOT, Digest, Entry, Tree
from shipway.store.base import Store
from shipway.store.hashing import Scan, Scanner
from shipway.store.walking import JUNK

PARAMS_FILE = "params.yaml"
_NEVER_INPUTS = ("shipway.yaml", "shipway.yml")
"""A stage's own part of the file is in its key already; a change of the gate must not train again."""

_SCRIPTS = (".py", ".sh", ".R", ".jl", ".ipynb")


class Parameters(Protocol):
    """The parameters of this run: params.yaml with what the command line sets."""

    @property
    def overridden(self) -> bytes | None:
        """The whole file with its overrides, or None if there are none and the file can be used as it is."""

    def select(self, names: Sequence[str]) -> Mapping[str, JsonValue]:
        """Dotted key → value. Raises ConfigError for a key that is not there."""

    def render(self, selected: Mapping[str, JsonValue]) -> bytes:
        """A params.yaml that holds just these."""


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """One input that comes from the project's own files: where it lies, and what it held when it was looked at."""

    path: str
    mount: str
    root: Path
    scan: Scan


class Resolved(msgspec.Struct, frozen=True, kw_only=True):
    """A stage's inputs when all of them are known: `trees` go into its key, `mounts` into its job."""

    trees: Mapping[str, Digest]
    mounts: tuple[Mount, ...]
    params: Mapping[str, JsonValue]


class Inputs:
    """Resolves stages' inputs for one run; what the project holds is looked at once, so that a run never mixes two states of it."""

    def __init__(self, root: Path, graph: Graph, scanner: Scanner, store: Store, parameters: Parameters) -> None:
        self._root = root
        self._graph = graph
        self._scanner = scanner
        self._store = store
        self._parameters = parameters
        self._sources: dict[str, Sequence[Source]] = {}
        self._lock = threading.RLock()

    def sources(self, stage: Stage) -> Sequence[Source]:
        """The inputs that are the project's own files, scanned at the first call."""
        with self._lock:
            if stage.name not in self._sources:
                self._sources[stage.name] = tuple(self._scan(stage))
            return self._sources[stage.name]

    def snapshot(self, stage: Stage) -> list[Digest]:
        """Store what the project holds for this stage, so that later edits cannot reach the run, and return its trees. Raises ConflictError."""
        for source in self.sources(stage):
            if not self._store.has_tree(source.scan.digest):
                self._store.put_tree(source.scan.tree, source.root, digest=source.scan.digest)
        parameters = self._parameter_mount(stage)
        trees = [source.scan.digest for source in self.sources(stage)]
        return trees if parameters is None else [*trees, parameters.tree]

    def resolve(self, stage: Stage, outputs: Mapping[str, Digest]) -> Resolved | None:
        """
        Bring a stage's inputs together; `outputs` maps the paths of other stages' outputs to their trees.

        None while one of them is not known yet. Raises StageError if an output does not hold what the stage reads of it.
        """
        trees: dict[str, Digest] = {}
        mounts: list[Mount] = []
        for source in self.sources(stage):
            trees[source.path] = source.scan.digest
            mounts.append(Mount(path=source.mount, tree=source.scan.digest))
        for output in self._graph.outputs_for(stage):
            if output not in outputs:
                return None
            for name, mount in self._parts(stage, output, outputs[output]):
                trees[name] = mount.tree
                mounts.append(mount)
        if (override := self._parameter_mount(stage)) is not None:
            mounts.append(override)
            if not stage.params:
                trees[PARAMS_FILE] = override.tree
        return Resolved(trees=trees, mounts=tuple(mounts), params=self.parameters(stage))

    def with_origins(self, stage: Stage, mounts: Sequence[Mount]) -> tuple[Mount, ...]:
        """Name the project's own copy where it was exactly the tree to be mounted; whoever links it in looks again."""
        origins = {
            (source.mount, source.scan.digest): str(source.root)
            for source in self.sources(stage)
            if source.mount != ROOT and source.scan.exact
        }
        return tuple(msgspec.structs.replace(mount, origin=origins.get((mount.path, mount.tree))) for mount in mounts)

    @property
    def override(self) -> bytes | None:
        """params.yaml as this run overrides it, or None."""
        return self._parameters.overridden

    def parameters(self, stage: Stage) -> Mapping[str, JsonValue]:
        """The parameters that a stage declares, by dotted key."""
        return self._parameters.select(stage.params)

    def scanned(self, digest: Digest) -> Tree | None:
        """The listing of a tree that was scanned in the project but perhaps never stored."""
        with self._lock:
            scans = (source.scan for sources in self._sources.values() for source in sources)
            return next((scan.tree for scan in scans if scan.digest == digest), None)

    def named_but_absent(self, stage: Stage) -> tuple[str, ...]:
        """Files of the project that stand in the stage's command but are no part of its inputs: the likely cause of "no such file"."""
        if stage.inputs is None:
            return ()
        words = stage.command.split() if isinstance(stage.command, str) else stage.command
        return tuple(
            word
            for word in dict.fromkeys(words)
            if not word.startswith(("/", "-", ".."))
            and os.path.isfile(self._root / word)  # a word may be too long to name a file
            and not any(matches(path, word) if is_glob(path) else within(word, path) for path in stage.inputs)
        )

    def mention(self, stage: Stage, word: bytes) -> bool:
        """Whether a script among the stage's own inputs holds `word`."""
        scripts = (
            source.root if entry.path == ROOT else source.root / entry.path
            for source in self.sources(stage)
            if source.scan.code
            for entry in source.scan.tree.entries
            if source.path.endswith(_SCRIPTS) or entry.path.endswith(_SCRIPTS)
        )
        return any(word in script.read_bytes() for script in scripts if script.is_file())

    def save(self) -> None:
        """Keep what was hashed for the next process."""
        with self._lock:
            self._scanner.save()

    # The project's own files

    def _scan(self, stage: Stage) -> Iterator[Source]:
        if stage.inputs is None:
            files = [path for path in self._git_files if self._is_plain_input(path, stage)]
            yield self._source(ROOT, ROOT, files=files)
            return
        for path in stage.inputs:
            if is_glob(path):
                files = [found for found in self._glob(path) if self._is_plain_input(found, stage)]
                if files:
                    yield self._source(path, ROOT, files=files)
            elif path == PARAMS_FILE:
                if self._is_plain_input(path, stage):
                    yield from self._scan_path(path)
            elif not self._makes(path):
                yield from self._scan_path(path)

    def _scan_path(self, path: str) -> Iterator[Source]:
        root = self._root / path
        inside = [out for out in self._graph.maker if within(out, path)]
        if not root.exists() and not root.is_symlink():
            if inside:
                return
            raise ConfigError([f"input {path!r} is not there"], hint="make it, or take it out of the stage's inputs")
        exclude = [out if path == ROOT else out[len(path) + 1 :] for out in inside]
        yield self._source(path, path, exclude=exclude)

    def _source(
        self, path: str, mount: str, *, files: Sequence[str] | None = None, exclude: Sequence[str] = ()
    ) -> Source:
        root = self._root if mount == ROOT else self._root / mount
        try:
            return Source(
                path=path, mount=mount, root=root, scan=self._scanner.scan(root, files=files, exclude=exclude)
            )
        except UnsafePathError as error:
            raise ConfigError([f"input {path!r}: {error.message}"], hint=error.hint) from error

    def _makes(self, path: str) -> bool:
        """Whether the path is an output or lies in one."""
        return any(within(path, out) for out in self._graph.maker)

    def _is_plain_input(self, path: str, stage: Stage) -> bool:
        if path in _NEVER_INPUTS or self._makes(path):
            return False
        return path != PARAMS_FILE or (not stage.params and self._parameters.overridden is None)

    def _glob(self, pattern: str) -> Iterator[str]:
        """Files and links that match; a directory that can hold none is not looked into."""
        head = glob_head(pattern)
        directories = ["" if head == ROOT else f"{head}/"]
        while directories:
            above = directories.pop()
            try:
                entries = list(os.scandir(self._root / above))
            except (FileNotFoundError, NotADirectoryError):
                continue
            for entry in entries:
                path = above + entry.name
                if entry.name in JUNK:
                    continue
                if entry.is_dir(follow_symlinks=False):
                    directories += [f"{path}/"] if reaches(pattern, path) else []
                elif matches(pattern, path):
                    yield path

    @cached_property
    def _git_files(self) -> Sequence[str]:
        """Every file that git tracks or would track."""
        import subprocess  # late: most stages name their inputs

        words = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        try:
            listed = subprocess.run(["git", "-C", str(self._root), *words], capture_output=True, check=False)
        except FileNotFoundError as error:
            raise ConfigError(
                ["git is not installed, and a stage leaves its inputs out"],
                hint="install it, or name the stage's inputs in shipway.yaml",
            ) from error
        if listed.returncode:
            raise ConfigError(
                [f"{self._root} is not in a git repository, and a stage leaves its inputs out"],
                hint="run `git init`, or name the stage's inputs in shipway.yaml",
            )
        return [name for name in listed.stdout.decode("utf-8", "surrogateescape").split("\0") if name]

    # Other stages' outputs

    def _parts(self, stage: Stage, output: str, tree: Digest) -> Iterator[tuple[str, Mount]]:
        """What the stage reads of one output: the whole, one path of it, or what its globs match."""
        for path in stage.inputs or ():
            if is_glob(path):
                if reaches(path, output):
                    yield from self._matched(path, output, tree)
            elif within(output, path):
                yield output, Mount(path=output, tree=tree)
            elif within(path, output):
                inner = tuple(self._store.tree(tree).below(path[len(output) + 1 :]))
                if not inner:
                    raise StageError(
                        f"stage {stage.name} reads {path}, but {output} of stage {self._graph.maker[output]} holds no such path"
                    )
                yield path, Mount(path=path, tree=self._store.add_tree(_tree(inner)))

    def _matched(self, pattern: str, output: str, tree: Digest) -> Iterator[tuple[str, Mount]]:
        moved = (_moved(entry, output) for entry in self._store.tree(tree).entries)
        entries = tuple(entry for entry in moved if matches(pattern, entry.path))
        if matches(pattern, output):
            yield f"{pattern} in {output}", Mount(path=output, tree=tree)
        elif entries:
            yield f"{pattern} in {output}", Mount(path=ROOT, tree=self._store.add_tree(_tree(entries)))

    # params.yaml

    def _parameter_mount(self, stage: Stage) -> Mount | None:
        if stage.params:
            text = self._parameters.render(self._parameters.select(stage.params))
        elif self._parameters.overridden is not None and self._reads_parameters(stage):
            text = self._parameters.overridden
        else:
            return None
        digest = self._store.put_bytes(text)
        tree = self._store.add_tree(Tree(entries=(Entry(path=ROOT, digest=digest, size=len(text)),)))
        return Mount(path=PARAMS_FILE, tree=tree)

    def _reads_parameters(self, stage: Stage) -> bool:
        if stage.inputs is None:
            return PARAMS_FILE in self._git_files
        return any(path == PARAMS_FILE or (is_glob(path) and matches(path, PARAMS_FILE)) for path in stage.inputs)


def _moved(entry: Entry, below: str) -> Entry:
    return msgspec.structs.replace(entry, path=below if entry.path == ROOT else f"{below}/{entry.path}")


def _tree(entries: Sequence[Entry]) -> Tree:
    return Tree(entries=tuple(sorted(entries, key=lambda entry: entry.path)))
