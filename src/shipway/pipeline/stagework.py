"""One stage of one run, from its inputs to its result: looked up, or made."""

import msgspec

from shipway.backends.base import Backend, Capability
from shipway.errors import InvalidJobError, StageError
from shipway.pipeline.keys import key_of
from shipway.pipeline.making import Making, Wanted
from shipway.pipeline.plan import Planner
from shipway.pipeline.session import Session
from shipway.pipeline.tools import Task, Tools
from shipway.pipeline.watch import Watch
from shipway.specs.jobs import JobState
from shipway.specs.runs import JobRow, StageRow, StageState
from shipway.specs.stages import Environment, Stage, StageResult
from shipway.specs.trees import Digest


class StageWork:
    """Brings tasks to their results; used by several threads at once."""

    def __init__(self, planner: Planner, tools: Tools) -> None:
        self.planner = planner
        self.tools = tools
        self.watch = Watch(tools.clock)
        self._announced: set[Environment] = set()

    def bring(self, session: Session, task: Task) -> StageResult:
        """
        Return the task's result: looked up, or made by a job that this or an earlier driver submitted.

        Raises StageError for a failure of the stage itself, and whatever keeps us from asking.
        """
        tools, stage = self.tools, task.stage
        backend = tools.backend(stage.site)
        refuse_what_lacks(stage, backend)
        resolved = self.planner.inputs.resolve(stage, task.outputs)
        if resolved is None:
            raise StageError(f"stage {stage.name} reads outputs that are not there yet")
        self._announce(session, stage)
        parts = self.planner.parts(stage, resolved, tools.environments.resolve(stage.environment))
        key = key_of(parts)
        row = session.save_stage(
            StageRow(run=session.run.id, name=task.name, state=StageState.RUNNING, key=key, started=tools.clock.now())
        )
        mine, made_already = self._earlier(session, key)
        found = None if mine or (task.force and not made_already) else self.planner.lookup(key)
        if found is not None:
            session.save_stage(
                msgspec.structs.replace(row, state=StageState.CACHED, job=found.job, ended=tools.clock.now())
            )
            return found
        made = Making(self.planner, tools, self.watch, session, Wanted(task, key, parts, resolved, backend))
        result = made.result(mine)
        state = StageState.SUCCEEDED
        session.save_stage(msgspec.structs.replace(row, state=state, job=result.job, ended=tools.clock.now()))
        session.at("stage:saved")
        made.tidy()
        session.at("job:removed")
        return result

    def _announce(self, session: Session, stage: Stage) -> None:
        """Tell whoever looks on why nothing seems to happen: an environment takes its time."""
        environment = stage.environment
        if environment not in self._announced and not self.tools.environments.ready(environment):
            self._announced.add(environment)
            session.note("note", text=f"preparing the environment of {environment.requirements}")

    def _earlier(self, session: Session, key: Digest) -> tuple[JobRow | None, bool]:
        """The job that an earlier driver of this very run left for this key, and whether one has given its result already."""
        jobs = [job for job in self.tools.journal.jobs(key=key) if job.run == session.run.id]
        left = next((job for job in jobs if not job.state.terminal), None)
        return left, any(job.state is JobState.SUCCEEDED for job in jobs)


def refuse_what_lacks(stage: Stage, backend: Backend) -> None:
    """Raises InvalidJobError if the stage asks for a capability that its backend does not declare."""
    lacks = backend.capabilities
    if stage.timeout is not None and Capability.TIMEOUT not in lacks:
        raise InvalidJobError(f"stage {stage.name}: backend {backend.name} cannot enforce a time limit")
