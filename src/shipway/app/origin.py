"""Where a result comes from: the code's commit, the data's digest, the environment's digest."""

from pathlib import Path

import msgspec

from shipway.app.opened import Opened
from shipway.specs.models import Triple
from shipway.specs.runs import Run
from shipway.specs.stages import StageResult
from shipway.specs.trees import digest_of

NO_COMMIT = "no-commit"


def triple(opened: Opened, run: Run, made: StageResult) -> Triple:
    """The triple of what `made` gave in `run`: `data` names all inputs of the project that are data and not code."""
    return Triple(code=code_of(opened, run), data=data(opened), environment=made.parts.environment)


def data(opened: Opened) -> str:
    """One digest over every stage's inputs from the project that hold no code; a project without such inputs makes its data by its code."""
    inputs = opened.planner.inputs
    found = {
        source.path: source.scan.digest
        for stage in opened.project.stages
        for source in inputs.sources(stage)
        if not source.scan.code
    }
    return digest_of(msgspec.json.encode(found, order="deterministic")) if found else "none"


def code_of(opened: Opened, run: Run) -> str:
    """The code that a run began with; a run that had nothing to make then has not taken it down."""
    known = run.request.get("code")
    return known if isinstance(known, str) else code(opened)


def code(opened: Opened) -> str:
    """The commit's SHA, with `+dirty` and a digest of the difference where files differ from it; outputs of stages are not code."""
    root = opened.root
    # An exclusion needs something to exclude from: the whole repository, wherever in it the project lies.
    paths = ("--", ":/", *(f":(exclude,literal){path}" for path in opened.planner.graph.maker))
    state = _git(root, "status", "--porcelain=v2", "--branch", "-z", "--untracked-files=all", *paths)
    if state is None:
        return NO_COMMIT
    records = [record for record in state.split(b"\0") if record]
    oid = next((record.split()[2] for record in records if record.startswith(b"# branch.oid ")), b"(initial)")
    changes = [record for record in records if not record.startswith(b"# ")]
    commit = NO_COMMIT if oid == b"(initial)" else oid.decode()
    if not changes:
        return commit
    difference = b"\0".join(changes) + (_git(root, "diff", "HEAD", "--binary", *paths) or b"")
    return f"{commit}+dirty.{digest_of(difference)[:12]}"


def _git(root: Path, *words: str) -> bytes | None:
    import subprocess  # late: a run of which everything is known asks git nothing

    try:
        done = subprocess.run(["git", "-C", str(root), *words], capture_output=True, check=False, timeout=60)
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return None
    return None if done.returncode else done.stdout
