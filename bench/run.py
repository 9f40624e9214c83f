"""
Ours and theirs side by side: one table, and `build/bench.json` with a line for each figure.

`python bench/run.py [overhead] [files] [serving]`; the peers' environments lie in `build/peers` (`make bench` makes them). Exit code 1 if a line does not hold.
"""

import json
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import files
import overhead
import serving
from timing import Line

ROOT = Path(__file__).parents[1]
PEERS = Path(os.environ.get("SHIPWAY_PEERS", ROOT / "build" / "peers")).absolute()

PARTS: dict[str, Callable[[Path], Sequence[Line]]] = {
    "overhead": lambda work: overhead.measure(PEERS / "dvc/bin/dvc", work),
    "files": lambda work: files.measure(PEERS / "dvc/bin/dvc", work),
    "serving": lambda work: serving.measure(PEERS / "mlflow/bin/python", PEERS / "mlserver/bin/python", work),
}


def main() -> int:
    chosen = sys.argv[1:] or list(PARTS)
    if unknown := [name for name in chosen if name not in PARTS]:
        raise SystemExit(f"no such part: {', '.join(unknown)}; there are {', '.join(PARTS)}")
    lines: list[Line] = []
    for name in chosen:
        print(f"measuring {name} …", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory(prefix=f"bench-{name}-") as work:
            lines += PARTS[name](Path(work))
    report = ROOT / "build" / "bench.json"
    report.parent.mkdir(exist_ok=True)
    report.write_text(json.dumps(lines, indent=1) + "\n")
    print(table(lines))
    return 0 if all(found["holds"] for found in lines) else 1


def table(lines: Sequence[Line]) -> str:
    head = ("", "ours", "peer", "unit", "ratio", "goal", "holds")
    keys = ("name", "ours", "peer", "unit", "ratio", "goal", "holds")
    rows = [head, *(tuple({True: "yes", False: "NO"}.get(row[key], str(row[key])) for key in keys) for row in lines)]  # type: ignore[call-overload]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


if __name__ == "__main__":
    sys.exit(main())
