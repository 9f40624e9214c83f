"""`python -m shipway.serving BUNDLE`: serve a bundle until told to stop. Exit codes: 0 drained, 1 no model, 2 wrong use."""

import argparse
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from shipway.errors import ConfigError

if TYPE_CHECKING:
    import asyncio

    from shipway.serving.server import Options
    from shipway.serving.settings import Settings

THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)

NEEDED = ("msgspec", "numpy", "httptools")
"""What serving needs besides the model's own libraries."""

early: set[int] = set()
"""Signals that came before the server stood."""


def main(argv: Sequence[str] | None = None) -> int:
    signal.signal(signal.SIGUSR1, lambda number, _: early.add(number))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    args = _parser().parse_args(argv)
    try:
        return _serve(args)
    except ModuleNotFoundError as error:
        if error.name not in NEEDED:
            raise
        print(
            f"shipway.serving: {error.name} is not installed",
            f"hint: the model's environment needs {', '.join(NEEDED)}",
            sep="\n",
            file=sys.stderr,
        )
        return 1


def _serve(args: argparse.Namespace) -> int:
    from shipway.serving import settings as files

    try:
        settings = files.read(args.bundle)
        private = _inherited(args.fd) if args.fd is not None else _bind(args.host, args.port)
        public = None if args.public_fd is None else _inherited(args.public_fd)
    except ConfigError as error:
        print(f"shipway.serving: {error}", *([f"hint: {error.hint}"] if error.hint else []), sep="\n", file=sys.stderr)
        return 2
    _limit_threads(settings.threads)
    from shipway.serving.server import Options

    options = Options(
        private=private, public=public, revision=args.revision, drain_seconds=args.drain, public_now=bool(early)
    )
    return _run(args.bundle, settings, options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m shipway.serving", description="Serve one model over HTTP (KServe V1 and V2)."
    )
    parser.add_argument("bundle", type=Path, help="directory with serving.json and the model")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8080, help="0: any free port (default: 8080)")
    parser.add_argument("--fd", type=int, help="inherited listening socket, instead of host and port")
    parser.add_argument("--public-fd", type=int, help="inherited, shared listening socket; used from SIGUSR1 on")
    parser.add_argument("--revision", help="name that every response carries in x-shipway-revision")
    parser.add_argument(
        "--drain", type=float, default=10.0, metavar="SECONDS", help="most time from SIGTERM to the end (default: 10)"
    )
    return parser


def _run(bundle: Path, settings: "Settings", options: "Options") -> int:
    import asyncio
    import logging

    from shipway.serving.server import Server

    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        code = runner.run(Server(bundle, settings, options).run())
        sys.stderr.flush()
        # a call of the model may still be at work on its thread; nothing of ours waits for the interpreter's end
        os._exit(code)


def _loop_factory() -> "Callable[[], asyncio.AbstractEventLoop] | None":
    try:
        import uvloop
    except ImportError:
        return None  # asyncio's own
    return uvloop.new_event_loop


def _limit_threads(count: int) -> None:
    """Must come before numpy is imported. A variable that the user has set stands."""
    for name in THREADS:
        os.environ.setdefault(name, str(count))


def _bind(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except (OSError, OverflowError) as error:
        raise ConfigError(
            [f"cannot listen on {host}:{port}: {error}"], hint="choose another --port; 0 takes any free one"
        ) from error
    return listener


def _inherited(fd: int) -> socket.socket:
    try:
        listener = socket.socket(fileno=fd)
        listening = listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError as error:
        raise ConfigError([f"file descriptor {fd} is not a socket: {error.strerror}"]) from error
    if not listening:
        raise ConfigError([f"file descriptor {fd} is not a listening socket"])
    listener.setblocking(False)
    return listener


if __name__ == "__main__":
    sys.exit(main())
