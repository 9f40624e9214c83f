"""Which row stands when one is written over another; pure, and the same for every journal."""

import msgspec

from shipway.specs.runs import JobRow, Run, RunState, StageRow


def ended(run: Run, state: RunState, error: str | None, at: float) -> Run:
    """A run's first end stands."""
    return run if run.state.terminal else msgspec.structs.replace(run, state=state, error=error, ended=at)


def stage_row(old: StageRow, new: StageRow) -> StageRow:
    """A terminal row stands."""
    return old if old.state.terminal else new


def job_row(old: JobRow, new: JobRow) -> JobRow:
    """
    The first row stands in what the job is; what is known of it may grow until it has ended.

    A handle is never forgotten: a second driver that has not submitted yet writes none.
    """
    if old.state.terminal:
        return old
    return msgspec.structs.replace(
        old,
        handle=new.handle if new.handle is not None else old.handle,
        state=new.state,
        exit_code=new.exit_code,
        reason=new.reason,
        ended=new.ended,
    )
