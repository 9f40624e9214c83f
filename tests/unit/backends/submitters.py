"""
Run as a program: submits jobs and dies, in the ways that a driver can die. `submitters.py ROOT HOW`.

`die-everywhere`: for each file that submit touches and each program that it starts, a process that dies right before it, and a second one that submits
the same job. Prints the log of each job, one in a line. `once`: submits `t-1` once, when a byte comes on standard input. `leave`: submits `t-1`, which
takes half a second, and exits; `leave-timeout`: one that runs out of time.
"""

import os
import sys
import time
from datetime import timedelta
from pathlib import Path

from shipway.backends.process import ProcessBackend
from shipway.specs.jobs import JobSpec, Mount
from shipway.store.directory import DirectoryStore
from shipway.store.hashing import Scanner
from shipway.store.views import Views

TOUCHING = ("open", "subprocess.Popen", "os.mkdir", "os.rename", "os.symlink", "os.utime", "os.listdir", "os.chmod")


def main(root: Path, how: str) -> None:
    store = DirectoryStore(root / "store")
    backend = ProcessBackend(root / "workspace", store, Views(root / "views", store))
    if how == "die-everywhere":
        die_everywhere(backend, inputs(root, store))
    elif how == "once":
        sys.stdin.read(1)
        backend.submit(job("t-1", "cat data/a src/b.py; sleep 0.2", inputs(root, store)))
    elif how == "leave":
        backend.submit(job("t-1", "echo began; sleep 0.5; echo done", ()))
    elif how == "leave-timeout":
        backend.submit(job("t-1", "echo began; sleep 60", (), timedelta(seconds=0.5)))


def inputs(root: Path, store: DirectoryStore) -> tuple[Mount, ...]:
    mounts = []
    for path, name, text in (("data", "a", "data "), ("src", "b.py", "code\n")):
        (root / "in" / path).mkdir(parents=True, exist_ok=True)
        if not (root / "in" / path / name).exists():
            (root / "in" / path / name).write_text(text)
        scan = Scanner(root / "cache").scan(root / "in" / path)
        store.put_tree(scan.tree, root / "in" / path, digest=scan.digest)
        mounts.append(Mount(path=path, tree=scan.digest))
    return tuple(mounts)


def job(name: str, script: str, mounts: tuple[Mount, ...], timeout: timedelta | None = None) -> JobSpec:
    return JobSpec(id=name, run="r", stage="s", command=("sh", "-c", script), inputs=mounts, timeout=timeout)


def die_everywhere(backend: ProcessBackend, mounts: tuple[Mount, ...]) -> None:
    for step in range(1, 1000):
        spec = job(f"t-{step}", "cat data/a src/b.py", mounts)
        died = fork_and_die(backend, spec, step)
        handle = backend.submit(spec)
        while not backend.status([handle])[handle].state.terminal:
            time.sleep(0.002)
        print(died, *b"".join(backend.logs(handle)).decode().split(), sorted(os.listdir(backend._jobs / spec.id)))
        if died == "lived":
            return


def fork_and_die(backend: ProcessBackend, spec: JobSpec, step: int) -> str:
    """Die before the step-th touch; "lived" if submit was through before it."""
    pid = os.fork()
    if pid:
        return "lived" if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0 else "died"
    left = [step]

    def count(event: str, _: tuple[object, ...]) -> None:
        if event in TOUCHING:
            left[0] -= 1
            if left[0] == 0:
                os._exit(9)

    sys.addaudithook(count)
    backend.submit(spec)
    os._exit(0)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
