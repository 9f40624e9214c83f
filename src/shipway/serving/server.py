"""
The process: sockets, signals, and an end that nobody notices.

Rule: a listening socket that came by inheritance is closed, never shut down; it lives on in the processes that share it.
"""

import asyncio
import gc
import logging
import signal
import socket
from collections.abc import Callable
from email.utils import formatdate
from pathlib import Path
from time import monotonic

import msgspec

from shipway.errors import ShipwayError
from shipway.serving import loading, probe
from shipway.serving.app import App
from shipway.serving.connection import Connection, Link
from shipway.serving.dataplane import Call
from shipway.serving.faults import InvalidInputError
from shipway.serving.metrics import Metrics
from shipway.serving.model import Model
from shipway.serving.settings import Settings
from shipway.serving.worker import Worker

log = logging.getLogger(__name__)

BACKLOG = 2048
KEEP_ALIVE_SECONDS = 75.0
IDLE_GRACE_SECONDS = 1.5
"""How long a kept-alive connection may still bring a request once draining has begun."""
SWEEP_SECONDS = 0.25


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """`private` and `public` are listening sockets; `public_now` that the signal to accept came before the server stood."""

    private: socket.socket
    public: socket.socket | None = None
    revision: str | None = None
    drain_seconds: float = 10.0
    public_now: bool = False


class Server:
    """Runs once; `run` returns the exit code."""

    def __init__(self, bundle: Path, settings: Settings, options: Options) -> None:
        self._bundle = bundle
        self._settings = settings
        self._options = options
        metrics = Metrics()
        self._app = App(settings, metrics)
        self._link = Link(handle=self._app.handle, metrics=metrics, most_body=int(settings.max_body_mib * 2**20))
        self._listening: list[asyncio.Server] = []
        self._public = False
        self._publishing: asyncio.Future[None] | None = None
        self._ready = False
        self._wants_public = options.public_now
        self._drain_began: float | None = None

    async def run(self) -> int:
        loop = asyncio.get_running_loop()
        self._end: asyncio.Future[int] = loop.create_future()
        self._on_signals(loop)
        self._write_headers()
        await self._listen(self._options.private)
        log.info("listening on %s", _url(self._options.private))
        Worker().run(self._load, self._loaded)
        sweeper = asyncio.create_task(self._sweep())
        try:
            return await self._end
        finally:
            sweeper.cancel()

    # The model

    def _load(self) -> Model | Exception:
        try:
            return loading.load(self._bundle / self._settings.model)
        except Exception as error:
            return error

    def _loaded(self, model: Model | Exception) -> None:
        if isinstance(model, Exception):
            self._fail(f"cannot load the model {self._settings.model!r}", model)
            return
        plane = self._app.attach(model)
        try:
            call = probe.read(self._bundle, plane)
            probe.run(call, plane, lambda error: self._probed(model, call, error))
        except InvalidInputError as error:
            self._probed(model, None, error)

    def _probed(self, model: Model, call: Call | None, error: Exception | None) -> None:
        if error is not None:
            self._fail(f"the model does not answer {probe.FILE}", error)
            return
        self._app.open(model, call)
        # what stands now stays: the collector need not look at it again, which is where its long pauses come from
        gc.collect()
        gc.freeze()
        self._ready = True
        log.info("ready: %s %s", self._settings.name, self._settings.version)
        if self._wants_public:
            self._publish()

    def _fail(self, message: str, error: Exception) -> None:
        if isinstance(error, ShipwayError):
            log.error("%s: %s%s", message, error, f" ({error.hint})" if error.hint else "")
        else:
            log.error("%s: %s: %s", message, type(error).__name__, error, exc_info=error)
        self._finish(1)

    # Sockets

    async def _listen(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Connection(self._link), sock=listener, backlog=BACKLOG)
        self._listening.append(server)
        if self._drain_began is not None:  # the signal to end came between the two
            server.close()

    def _publish(self) -> None:
        """Accept on the public socket as well, once the model is ready; repeatable."""
        if not self._ready:
            self._wants_public = True
        elif self._options.public is not None and self._publishing is None and self._drain_began is None:
            self._publishing = asyncio.ensure_future(self._go_public(self._options.public))

    async def _go_public(self, listener: socket.socket) -> None:
        await self._listen(listener)
        self._public = True
        self._write_headers()
        log.info("accepting on %s", _url(listener))

    def _write_headers(self) -> None:
        lines = [b"date: %b\r\n" % formatdate(usegmt=True).encode()]
        if self._options.revision is not None:
            lines.append(b"x-shipway-revision: %b\r\n" % self._options.revision.encode())
        if self._public:
            lines.append(b"x-shipway-public: 1\r\n")
        self._link.headers = b"".join(lines)

    # The end

    def _on_signals(self, loop: asyncio.AbstractEventLoop) -> None:
        handlers: dict[signal.Signals, Callable[[], None]] = {
            signal.SIGTERM: self._drain,
            signal.SIGINT: self._drain,
            signal.SIGUSR1: self._publish,
        }
        for number, handler in handlers.items():
            loop.add_signal_handler(number, handler)

    def _drain(self) -> None:
        if self._drain_began is not None:
            log.info("told twice: ending at once")
            self._finish(0)
            return
        self._drain_began = monotonic()
        self._link.draining = True
        for server in self._listening:
            server.close()
        if self._options.public is not None and self._publishing is None:
            self._options.public.close()
        log.info("draining: %d connections", len(self._link.connections))

    def _finish(self, code: int) -> None:
        if not self._end.done():
            self._end.set_result(code)

    async def _sweep(self) -> None:
        """Everything that happens because time passes: dates, timeouts, the end of draining."""
        while True:
            now = monotonic()
            self._write_headers()
            for connection in list(self._link.connections):
                self._sweep_one(connection, now)
            if self._drain_began is not None and self._drained(now):
                self._finish(0)
            await asyncio.sleep(SWEEP_SECONDS if self._drain_began is None else SWEEP_SECONDS / 5)

    def _sweep_one(self, connection: Connection, now: float) -> None:
        if connection.lingering is not None:
            if now > connection.lingering:
                connection.abort()
        elif connection.idle:
            limit = KEEP_ALIVE_SECONDS if self._drain_began is None else IDLE_GRACE_SECONDS
            if now - max(connection.touched, self._drain_began or 0.0) > limit:
                connection.close()
        elif connection.late(now):
            connection.refuse(408, "the request took too long to come in")
        elif connection.stuck(now):
            connection.abort()

    def _drained(self, now: float) -> bool:
        assert self._drain_began is not None
        if not self._link.connections:
            return True
        if now - self._drain_began > self._options.drain_seconds:
            log.warning("still %d connections after %g s", len(self._link.connections), self._options.drain_seconds)
            return True
        return False


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
