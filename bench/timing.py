"""Whole processes on the wall clock, the two sides in turn; a line of the table is the ratio of the medians."""

import os
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

Line = dict[str, object]


def quiet_environment(home: Path) -> dict[str, str]:
    """Compiled modules are used, nobody phones home, and nobody finds a user's settings."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return kept | {
        "HOME": str(home),
        "DVC_NO_ANALYTICS": "1",
        "DVC_SITE_CACHE_DIR": str(home / "site"),
        "DO_NOT_TRACK": "1",
    }


def timed(argv: Sequence[str], directory: Path, env: Mapping[str, str]) -> float:
    """Seconds that the command takes. Ends the benchmark if it fails."""
    started = time.perf_counter()
    done = subprocess.run(argv, cwd=directory, env=env, capture_output=True, text=True, check=False)
    taken = time.perf_counter() - started
    if done.returncode:
        raise SystemExit(f"{' '.join(argv[:3])} ended with {done.returncode}: {done.stderr[-2000:]}")
    return taken


def in_turn(ours: Callable[[], float], theirs: Callable[[], float], turn: int) -> tuple[float, float]:
    """Seconds of ours and theirs; who goes first alternates, and neither pays for what the other left to be written."""
    sides = [ours, theirs] if turn % 2 == 0 else [theirs, ours]
    taken: dict[Callable[[], float], float] = {}
    for side in sides:
        taken[side] = side()
        os.sync()
    return taken[ours], taken[theirs]


def line(name: str, pairs: Sequence[tuple[float, float]], *, goal: float) -> Line:
    """`ratio` is the peer's time by ours; it holds if that is at least the goal."""
    ours = statistics.median(pair[0] for pair in pairs)
    peer = statistics.median(pair[1] for pair in pairs)
    ratio = peer / ours
    return {
        "name": name,
        "ours": round(ours, 3),
        "peer": round(peer, 3),
        "unit": "s",
        "goal": goal,
        "ratio": round(ratio, 2),
        "holds": ratio >= goal,
    }
