"""
`shipway init`: a first `shipway.yaml` for a plain Python project, from the names of its files and what its scripts say.

Each guess is marked as one. What comes out is loaded before it is given out, so it is always a valid file.
"""

import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from shipway.config.files import NAME
from shipway.config.params import NAME as PARAMS
from shipway.config.params import read_params
from shipway.config.scalars import is_text
from shipway.config.scripts import Mention, Script, look_at
from shipway.errors import ConfigError, UsageError
from shipway.specs.globs import within

_STEPS = {"prepare": r"(prepare|preprocess|process|make_data)", "train": r"train", "evaluate": r"(evaluate|eval)"}
_PLACES = ("", "src/", "scripts/")
_MODEL = re.compile(r"(^|/)models?(/|$|[^/]*\.(joblib|pkl|pickle|onnx|pt|pth)$)|\.(joblib|onnx|pt|pth)$")
_PLOT = re.compile(r"\.(png|svg|jpe?g|pdf)$")
_SAMPLES = re.compile(r"(^|/)samples?\.json$")
_METRICS = re.compile(r"(metric|score|result|history|eval)[^/]*\.(json|jsonl|csv)$")


class Step(msgspec.Struct, kw_only=True):
    """A stage as guessed: each path with the reason for it; `absent` are paths that it reads and nobody has."""

    name: str
    script: str
    inputs: dict[str, str]
    outputs: dict[str, str]
    metrics: dict[str, str]
    plots: dict[str, str]
    samples: dict[str, str]
    absent: dict[str, str]
    params: Sequence[str]

    @property
    def writes(self) -> Mapping[str, str]:
        return {**self.outputs, **self.metrics, **self.plots, **self.samples}


def init_project(root: Path) -> Path:
    """Write `shipway.yaml` into `root`. Raises UsageError if there is one; it is never overwritten."""
    text = guess(root)
    try:
        with (root / NAME).open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        raise UsageError(f"{root / NAME} is there already", hint="change it, or move it away first") from error
    return root / NAME


def guess(root: Path) -> str:
    """The text of a `shipway.yaml` for the project at `root`, which loads without a fault there."""
    from shipway.config.project import read_project

    files = _files(root)
    steps = _steps(root, files)
    for text in (
        _text(root, files, steps),
        _text(root, files, [_bare(step.name, step.script) for step in steps]),
        _text(root, files, []),
    ):
        try:
            read_project(text.encode(), root.absolute(), NAME)
        except ConfigError:
            continue  # the guesses don't fit together; say less
        return text
    raise AssertionError("the file without guesses must load")


def _files(root: Path) -> list[str]:
    """What git tracks or would track, or every file where there is no repository."""
    command = ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, capture_output=True, check=False)
    except FileNotFoundError:
        listed = None
    if listed is not None and listed.returncode == 0:
        return sorted(set(listed.stdout.decode("utf-8", "replace").split("\0")) - {""})
    found = (path.relative_to(root) for path in root.rglob("*") if path.is_file())
    return sorted(path.as_posix() for path in found if not any(part.startswith((".", "__")) for part in path.parts))


def _steps(root: Path, files: Sequence[str]) -> list[Step]:
    scripts = {name: script for name, pattern in _STEPS.items() if (script := _script(files, pattern)) is not None}
    if not scripts:
        scripts = {Path(name).stem: name for name in ("main.py", "run.py") if name in files}
    looks = {name: look_at((root / script).read_text("utf-8", "replace")) for name, script in scripts.items()}
    steps = [_step(root, files, name, script, looks[name]) for name, script in scripts.items()]
    made = [path for step in steps for path in step.writes]
    for step in steps:
        for path in list(step.inputs):
            makes = any(within(path, out) or within(out, path) for out in made)
            if any(within(path, own) or within(own, path) for own in step.writes):
                del step.inputs[path]
            elif not makes and not (root / path).exists():
                step.absent[path] = step.inputs.pop(path)
    _only_the_judge_has_samples(steps)
    return steps


def _only_the_judge_has_samples(steps: Sequence[Step]) -> None:
    """What looks like samples in another step is a file like any other: no rollout is verified by it."""
    model = _model(steps)
    for step in steps:
        if not _judges(step, model):
            step.outputs.update(step.samples)
            step.samples.clear()


def _model(steps: Sequence[Step]) -> str | None:
    train = next((step for step in steps if step.name == "train"), None)
    return next((path for path in (train.outputs if train else ()) if _MODEL.search(path)), None)


def _judges(step: Step, model: str | None) -> bool:
    return bool(step.metrics) and model is not None and any(within(model, path) for path in step.inputs)


def _script(files: Sequence[str], pattern: str) -> str | None:
    for place in _PLACES:
        found = [name for name in files if re.fullmatch(rf"{place}{pattern}[A-Za-z0-9_-]*\.py", name)]
        if found:
            return min(found, key=lambda name: (len(name), name))
    return None


def _step(root: Path, files: Sequence[str], name: str, script: str, look: Script) -> Step:
    step = _bare(name, script)
    for mention in look.mentions:
        if mention.written and mention.path != ".":
            _table(step, mention.path).setdefault(mention.path, f"written on line {mention.line}")
    _without_overlaps(step)
    reads = [mention for mention in look.mentions if not mention.written and mention.path not in (".", PARAMS)]
    step.inputs.update(_inputs(files, script, look, reads))
    if PARAMS in files and any(mention.path == PARAMS for mention in look.mentions):
        step.params = _params(root, name, look)
    return step


def _table(step: Step, path: str) -> dict[str, str]:
    """Which kind of output a path looks like."""
    if _SAMPLES.search(path) and not step.samples:
        return step.samples
    if _METRICS.search(path):
        return step.metrics
    return step.plots if _PLOT.search(path) else step.outputs


def _without_overlaps(step: Step) -> None:
    """A directory that is only made to hold the files written goes; one that holds more than we know stays, and its files go."""
    for path in [*step.outputs]:
        inside = [other for other in step.writes if other != path and within(other, path)]
        if inside:
            del step.outputs[path]


def _inputs(files: Sequence[str], script: str, look: Script, reads: Sequence[Mention]) -> Iterator[tuple[str, str]]:
    if not reads:
        return
    yield script, ""
    for module in sorted(look.modules):
        for place in dict.fromkeys((script.rpartition("/")[0], "", "src")):
            path = "/".join(filter(None, (place, *module.split("."))))
            if f"{path}.py" in files:
                yield f"{path}.py", "imported"
            elif f"{path}/__init__.py" in files:
                yield path, "imported"
    for mention in reads:
        yield mention.path, f"read on line {mention.line}"


def _params(root: Path, name: str, look: Script) -> Sequence[str]:
    """The part named like the stage, else the parts that the script looks up, else all."""
    try:
        known = [key for key in read_params(root) if re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", key) and is_text(key)]
    except ConfigError:
        return ()
    if name in known:
        return [name]
    return sorted(key for key in known if key in look.words) or sorted(known)


def _bare(name: str, script: str) -> Step:
    return Step(name=name, script=script, inputs={}, outputs={}, metrics={}, plots={}, samples={}, absent={}, params=())


# The text


def _text(root: Path, files: Sequence[str], steps: Sequence[Step]) -> str:
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", root.absolute().name).strip("-_")[:63] or "project"
    name = name if is_text(name) else f"project-{name}"[:63]
    lines = [
        "# How this project becomes a served model. What is marked as a guess was found in the scripts: check it.",
        "# A stage runs in a fresh directory that holds only its inputs, so one that is missing here is soon found out.",
        f"project: {name}",
        "",
    ]
    requirements = [file for file in files if re.fullmatch(r"requirements[A-Za-z0-9_-]*\.txt", file)]
    if requirements:
        chosen = min(requirements, key=lambda file: (len(file), file))
        lines += [f"environment: {{requirements: {chosen}}}", ""]
    else:
        lines += [
            "# Without this, stages run with the Python that runs Shipway.",
            "# environment: {requirements: requirements.txt}",
            "",
        ]
    lines.append("stages:")
    for step in steps:
        lines += [*_stage(step), ""]
    if not steps:
        lines += [
            "  # No prepare, train or evaluate script was found; put your own command here.",
            "  example:",
            "    run: echo replace me",
            "",
        ]
    return "\n".join([*lines, *_shipping(name, steps)]) + "\n"


def _stage(step: Step) -> Iterator[str]:
    yield f"  {step.name}:"
    yield f"    run: python {step.script}"
    if step.inputs:
        yield from _paths("inputs", step.inputs)
    else:
        yield "    # inputs: left out, so every file that git tracks or would track"
    for path, why in step.absent.items():
        yield f"      # {path} is {why}, but it is not there and no stage makes it"
    if step.params:
        yield f"    params: [{', '.join(step.params)}]  # guess"
    for key in ("outputs", "metrics", "plots"):
        if paths := getattr(step, key):
            yield from _paths(key, paths)
    for path, why in step.samples.items():
        yield f"    samples: {path}  # guess: {why}"
    if not step.writes:
        yield "    # outputs: [path]  what it writes"


def _paths(key: str, paths: Mapping[str, str]) -> Iterator[str]:
    yield f"    {key}:"
    for path, why in paths.items():
        yield f"      - {path}" + (f"  # guess: {why}" if why else "")


def _shipping(name: str, steps: Sequence[Step]) -> Iterator[str]:
    model = _model(steps)
    judged = any(_judges(step, model) for step in steps)
    mark = "" if model else "# "
    if not model:
        yield "# When a stage writes a model, name it here, and `shipway ship` will judge, register and serve it."
    yield f"{mark}model: {{name: {name}, path: {model or 'model'}}}" + ("  # guess" if model else "")
    yield ""
    if not judged:
        yield "# A gate needs a stage that reads the model and writes metrics."
    yield "# Let only models in that are good enough, and no worse than the one that serves."
    yield "# gate:"
    yield "#   - accuracy >= 0.90"
    yield "#   - accuracy >= champion.accuracy - 0.005"
    yield ""
    yield f"{mark}endpoints:"
    yield f"{mark}  local: {{kind: process, port: 8080}}"
