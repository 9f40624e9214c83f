"""From a task to the job that is submitted for it, and from a job's status to words."""

from collections.abc import Sequence

from shipway.pipeline.session import Session
from shipway.pipeline.tools import Task, Tools
from shipway.specs.jobs import Failure, JobSpec, JobState, JobStatus, Mount
from shipway.specs.runs import JobRow
from shipway.specs.trees import Digest

_KEY_DIGITS = 40


def choose_job(tools: Tools, session: Session, task: Task, key: Digest) -> JobRow:
    """A live job for this key, whoever made it, or the next attempt. Two drivers that choose at once choose the same."""
    known = tools.journal.jobs(key=key)
    live = [job for job in known if not job.state.terminal]
    if live:
        return live[-1]
    attempt = 1 + max((job.attempt for job in known), default=0)
    return session.save_job(
        JobRow(
            id=f"{key[:_KEY_DIGITS]}-{attempt}",
            key=key,
            attempt=attempt,
            run=session.run.id,
            stage=task.name,
            site=task.stage.site,
            created=tools.clock.now(),
        )
    )


def job_spec(tools: Tools, session: Session, task: Task, job: JobRow, mounts: Sequence[Mount]) -> JobSpec:
    """What the backend is given. Builds the environment if it is not here. Raises BuildError, ConfigError for a secret that is not set."""
    stage = task.stage
    prepared = tools.environments.build(stage.environment)
    command = ("/bin/sh", "-e", "-c", stage.command) if isinstance(stage.command, str) else stage.command
    return JobSpec(
        id=job.id,
        run=session.run.id,
        stage=task.name,
        command=command,
        env={**prepared.env, **tools.tracking(session, stage), **stage.env},
        secrets={**tools.tracking_secrets(stage), **{name: tools.secret(name) for name in stage.secrets}},
        inputs=tuple(mounts),
        outputs=stage.all_outputs,
        resources=stage.resources,
        timeout=stage.timeout,
    )


def in_words(status: JobStatus) -> str:
    """How a job ended that did not succeed, to follow its stage's name."""
    if status.state is JobState.CANCELLED:
        return "was cancelled"
    why = f": {status.reason}" if status.reason else ""
    code = f" with exit code {status.exit_code}" if status.exit_code is not None else ""
    told = status.failure in (None, Failure.EXIT)  # an exit code says it as well
    return f"failed{code}{why}" if told else f"failed ({status.failure}){code}{why}"
