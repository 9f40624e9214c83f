"""Takes a finished job's declared outputs out of its work tree; nothing that only points somewhere else is an output."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from shipway.errors import OutputMissingError, StageError, UnsafePathError
from shipway.specs.trees import Digest
from shipway.store.base import Store
from shipway.store.hashing import Scanner

_LISTED = 20


def collect_outputs(work: Path, outputs: Sequence[str], store: Store, scanner: Scanner) -> Mapping[str, Digest]:
    """Store each output as a tree. Raises OutputMissingError, StageError."""
    absent = [output for output in outputs if not os.path.lexists(work / output)]
    if absent:
        raise _missing(work, absent)
    return {output: _store(work, output, store, scanner) for output in outputs}


def _store(work: Path, output: str, store: Store, scanner: Scanner) -> Digest:
    path = work / output
    real = os.path.realpath(path)
    if os.path.commonpath([real, os.path.realpath(work)]) != os.path.realpath(work):
        raise StageError(
            f"output {output!r} leads to {real}, outside of the work tree",
            hint="write the content itself there; a link to an input, or away, is no output",
        )
    if not os.path.exists(real):
        raise StageError(f"output {output!r} is a link to {os.readlink(path)!r}, which is not there")
    try:
        scan = scanner.scan(path)
        return store.put_tree(scan.tree, path, digest=scan.digest)
    except UnsafePathError as error:
        raise StageError(f"output {output!r}: {error.message}", hint=error.hint) from error


def _missing(work: Path, absent: Sequence[str]) -> OutputMissingError:
    there = _names_near(work, absent[0])
    listing = ", ".join(there) if there else "nothing"
    names = ", ".join(map(repr, absent))
    return OutputMissingError(
        f"the command ended well, but {names} {'is' if len(absent) == 1 else 'are'} not there; there is: {listing}",
        hint="correct the stage's outputs, or where its command writes",
    )


def _names_near(work: Path, output: str) -> list[str]:
    """What lies where the output should be, or in the nearest directory above that exists; the most alike first."""
    from difflib import SequenceMatcher  # for errors only

    parent = Path(output).parent
    while not (work / parent).is_dir():
        parent = parent.parent
    with os.scandir(work / parent) as listing:
        names = [str(parent / entry.name) + ("/" if entry.is_dir() else "") for entry in listing]
    names.sort(key=lambda name: (-SequenceMatcher(None, name.rstrip("/"), output).ratio(), name))
    return names[:_LISTED] + (["…"] if len(names) > _LISTED else [])
