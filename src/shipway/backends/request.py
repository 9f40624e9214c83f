"""What a job asks of the process backend, checked, as the text that is kept beside it; secrets are there by name only."""

import re
from collections.abc import Mapping

import msgspec

from shipway.errors import InvalidJobError, UnsafePathError
from shipway.specs.jobs import JobSpec, Mount
from shipway.specs.trees import ROOT
from shipway.store.trees import check_path

_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LONGEST = 128 * 1024
"""Linux takes no single argument or variable of this many bytes."""


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """The native request."""

    id: str
    run: str
    stage: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    secrets: tuple[str, ...]
    inputs: tuple[Mount, ...]
    outputs: tuple[str, ...]
    timeout_seconds: float | None


def is_job_id(text: str) -> bool:
    return _ID.fullmatch(text) is not None


def to_request(job: JobSpec) -> Request:
    """Pure. Raises InvalidJobError."""
    if not is_job_id(job.id):
        raise InvalidJobError(f"job id {job.id!r} is not made of up to 63 lower-case letters, digits and hyphens")
    if job.image is not None:
        raise InvalidJobError(
            f"stage {job.stage!r} asks for image {job.image!r}, and a process site runs no images",
            hint="run it on a docker site, or give it requirements",
        )
    if job.resources.gpus:
        raise InvalidJobError(
            f"stage {job.stage!r} asks for {job.resources.gpus} GPUs, and a process site hands out none",
            hint="leave gpus out: a job on a process site sees all that the machine has",
        )
    if not job.command:
        raise InvalidJobError(f"stage {job.stage!r} has no command")
    _check_strings(job)
    _check_paths(job)
    return Request(
        id=job.id,
        run=job.run,
        stage=job.stage,
        argv=job.command,
        env=job.env,
        secrets=tuple(sorted(job.secrets)),
        inputs=job.inputs,
        outputs=job.outputs,
        timeout_seconds=None if job.timeout is None else job.timeout.total_seconds(),
    )


def to_text(request: Request) -> str:
    return msgspec.json.format(msgspec.json.encode(request, order="sorted"), indent=2).decode() + "\n"


def _check_strings(job: JobSpec) -> None:
    for name in (*job.env, *job.secrets):
        # A shell stands between us and the command: it hands on no other names, and these two it keeps for itself.
        if not _NAME.fullmatch(name) or name in ("IFS", "OPTIND"):
            raise InvalidJobError(f"variable {name!r} of stage {job.stage!r} cannot be passed on", hint="rename it")
    named = {
        **{f"argument {at} of the command": text for at, text in enumerate(job.command)},
        **{f"variable {name}": f"{name}={text}" for name, text in {**job.env, **job.secrets}.items()},
    }
    for what, text in named.items():
        if "\0" in text:
            raise InvalidJobError(f"{what} of stage {job.stage!r} holds a NUL byte")
        try:
            size = len(text.encode())
        except UnicodeEncodeError:
            raise InvalidJobError(f"{what} of stage {job.stage!r} is not valid UTF-8") from None
        if size >= _LONGEST:
            raise InvalidJobError(
                f"{what} of stage {job.stage!r} has {size} bytes, and a program takes less than {_LONGEST}",
                hint="hand it over in a file",
            )


def _check_paths(job: JobSpec) -> None:
    paths = {f"input {mount.path!r}": mount.path for mount in job.inputs if mount.path != ROOT}
    paths |= {f"output {output!r}": output for output in job.outputs}
    for what, path in paths.items():
        try:
            check_path(path)
        except UnsafePathError as error:
            raise InvalidJobError(f"{what} of stage {job.stage!r}: {error.message}", hint=error.hint) from error
