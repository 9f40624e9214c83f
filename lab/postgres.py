"""
A throw-away PostgreSQL server on a free loopback port, for tests.

    python lab/postgres.py            prints its URL, serves until its standard input ends, then removes all of it

Needs the server's binaries (Debian: `apt-get install postgresql`); exits with 3 where there are none. Rule: it never outlives the
process that started it. The server refuses to run as root, so root starts it as the user `postgres`.
"""

import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

MISSING = 3
"""Exit code that says: no server is installed here."""

# Debian, Red Hat, Homebrew on either processor.
_PLACES = ("usr/lib/postgresql/*", "usr/pgsql-*", "opt/homebrew/opt/postgresql@*", "usr/local/opt/postgresql@*")
_ATTEMPTS = 3
_START_SECONDS = 60.0

# What a crash of the machine would cost does not matter here; what a crash of a client costs is the same as ever.
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "fsync": "off",
    "full_page_writes": "off",
    "shared_buffers": "32MB",
    "max_connections": "60",
}


def binaries() -> Path | None:
    """The directory that holds initdb and postgres, of the newest version installed."""
    found = [path for place in _PLACES for path in Path("/").glob(f"{place}/bin/initdb")]
    if not found and (here := shutil.which("initdb")):
        found = [Path(here).resolve()]
    return max(found, key=_version).parent if found else None


def _version(path: Path) -> int:
    return max((int(number) for number in re.findall(r"\d+", str(path))), default=0)


def as_server_user(*argv: str | Path) -> list[str]:
    """The command, run by a user that PostgreSQL accepts, and ended when we end, however that is."""
    setpriv = shutil.which("setpriv")
    if os.getuid() != 0:
        return [*((setpriv, "--pdeathsig", "INT") if setpriv else ()), *map(str, argv)]
    if setpriv is None:
        raise SystemExit("lab/postgres.py: root needs setpriv (util-linux) to become the user postgres")
    return [setpriv, "--reuid=postgres", "--regid=postgres", "--clear-groups", "--pdeathsig", "INT", *map(str, argv)]


def main() -> int:
    programs = binaries()
    if programs is None:
        print("no PostgreSQL server is installed (Debian: apt-get install postgresql)", file=sys.stderr)
        return MISSING
    # Not below a test's own directory: those are closed to other users.
    directory = Path(tempfile.mkdtemp(prefix="shipway-postgres-"))
    try:
        if os.getuid() == 0:
            shutil.chown(directory, "postgres", "postgres")
        password = secrets.token_hex(8)
        _initialise(programs, directory, password)
        server, port = _serve(programs, directory)
        try:
            print(f"postgresql://shipway:{password}@127.0.0.1:{port}/postgres", flush=True)
            sys.stdin.read()
        finally:
            server.send_signal(signal.SIGINT)  # a fast shutdown: clients are cut off, not waited for
            server.wait(timeout=30)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    return 0


def _initialise(programs: Path, directory: Path, password: str) -> None:
    secret = directory / "password"
    secret.touch(mode=0o600)
    secret.write_text(password)
    if os.getuid() == 0:
        shutil.chown(secret, "postgres", "postgres")
    initdb = (
        programs / "initdb",
        "-D",
        directory / "data",
        "-U",
        "shipway",
        "-A",
        "scram-sha-256",
        f"--pwfile={secret}",
    )
    done = subprocess.run(
        as_server_user(*initdb, "--no-sync", "-E", "UTF8", "--locale=C"),
        cwd=directory,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    if done.returncode:
        raise SystemExit(f"initdb failed:\n{done.stdout.decode(errors='replace')}")


def _serve(programs: Path, directory: Path) -> tuple["subprocess.Popen[bytes]", int]:
    settings = [part for name, value in _SETTINGS.items() for part in ("-c", f"{name}={value}")]
    log = directory / "log"
    for _ in range(_ATTEMPTS):  # somebody else may take the port before the server does
        port = _free_port()
        with log.open("wb") as output:
            server = subprocess.Popen(
                as_server_user(programs / "postgres", "-D", directory / "data", "-p", str(port), *settings),
                cwd=directory,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        if _ready(programs, server, port):
            return server, port
    raise SystemExit(f"the server did not start:\n{log.read_text(errors='replace')}")


def _ready(programs: Path, server: "subprocess.Popen[bytes]", port: int) -> bool:
    deadline = time.monotonic() + _START_SECONDS
    while server.poll() is None and time.monotonic() < deadline:
        asked = [str(programs / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]
        if subprocess.run(asked).returncode == 0:
            return True
        time.sleep(0.05)
    server.kill()
    server.wait()
    return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    sys.exit(main())
