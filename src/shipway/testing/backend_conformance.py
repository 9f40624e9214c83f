"""
What every backend must do, as tests.

Subclass once for each backend and provide the fixtures of `BackendSuite`: `backend`, `reopen` (another instance over the same far side, as another
process has it) and `kept` (all that the far side's files hold). Nothing is skipped but by a capability that the class does not declare.
"""

from shipway.testing.backend_running import Running
from shipway.testing.backend_staging import Staging
from shipway.testing.backend_telling import Telling


class BackendConformance(Running, Telling, Staging):
    """All of it."""
