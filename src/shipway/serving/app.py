"""
Routes: which protocol answers what, and which of our errors is which status code.

Rule: nothing that a client sends is a 500. A 500 says that the model, or we, failed; it carries no traceback.
"""

import logging
from collections.abc import Callable
from urllib.parse import unquote

from shipway.errors import NotFoundError, ShipwayError, UnavailableError
from shipway.serving import docs, v1, v2
from shipway.serving.batching import Outputs
from shipway.serving.dataplane import Call, DataPlane
from shipway.serving.faults import InvalidInputError
from shipway.serving.messages import JSON, Reply, Request, Response, refusal
from shipway.serving.metrics import Metrics
from shipway.serving.model import Model
from shipway.serving.openapi import openapi
from shipway.serving.page import HEADERS as PAGE_HEADERS
from shipway.serving.page import page
from shipway.serving.settings import Settings

log = logging.getLogger(__name__)

Handler = Callable[[Request, Reply], None]

STATUS: tuple[tuple[type[ShipwayError], int], ...] = (
    (InvalidInputError, 400),
    (NotFoundError, 404),
    (UnavailableError, 503),
)


class App:
    """Answers requests; until a model is attached, only health, metrics and the list of models."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._settings = settings
        self._metrics = metrics
        self._plane: DataPlane | None = None
        self._ready = False
        self._routes = self._general()

    def attach(self, model: Model) -> DataPlane:
        """Take the model in; nobody is let through to it before `open`."""
        self._plane = DataPlane(model, self._settings.batch, self._metrics.batches.observe, _log_failure)
        return self._plane

    def open(self, model: Model, example: Call | None) -> None:
        """The model is ready; `example` is a call that it is known to answer."""
        self._routes |= self._pages(model, example)
        self._ready = True

    def handle(self, request: Request, reply: Reply) -> None:
        """Call `reply` once, now or later."""
        try:
            self._route(request)(request, reply)
        except Exception as error:
            reply(_response(error))

    def _route(self, request: Request) -> Handler:
        path = request.target.partition(b"?")[0].decode("latin-1")
        found = self._routes.get(path) or self._routes.get(unquote(path))
        if found is None:
            raise self._unknown(path)
        request.route, handlers = found
        handler = handlers.get(request.method)
        if handler is None:
            allowed = b", ".join(handlers)
            answer = refusal(405, f"{path} takes {allowed.decode()}", headers=b"allow: %b\r\n" % allowed)
            return lambda _, reply: reply(answer)
        return handler

    def _unknown(self, path: str) -> NotFoundError:
        parts = unquote(path).split("/")
        asked = parts[3].partition(":")[0] if path.startswith(("/v1/models/", "/v2/models/")) else None
        if asked and asked != self._settings.name:
            return NotFoundError(f"there is no model {asked[:100]!r}", hint=f"this server has {self._settings.name!r}")
        if asked and len(parts) > 5 and parts[4] == "versions" and parts[5] != self._settings.version:
            return NotFoundError(
                f"there is no version {parts[5][:100]!r} of {asked!r}", hint=f"this is {self._settings.version!r}"
            )
        return NotFoundError(f"there is no {unquote(path)[:100]}", hint="/openapi.json lists what there is")

    # Route tables: path to (name in the metrics, handler by method)

    def _general(self) -> dict[str, tuple[str, dict[bytes, Handler]]]:
        name, version = self._settings.name, self._settings.version
        model = {b"GET": self._when_ready(b'{"ready":true}')}
        table: dict[str, tuple[str, dict[bytes, Handler]]] = {
            "/v2": ("server", _get(docs.server())),
            "/v2/health/live": ("live", _get(b'{"live":true}')),
            "/v2/health/ready": ("ready", {b"GET": self._when_ready(b'{"ready":true}')}),
            "/": ("page", {b"GET": self._when_ready(b"")}),
            "/openapi.json": ("openapi", {b"GET": self._when_ready(b"")}),
            "/v1/models": ("models", _get(docs.models(self._settings))),
            f"/v1/models/{name}": ("model_ready", {b"GET": self._when_ready(docs.v1_model(self._settings))}),
            f"/v1/models/{name}:predict": ("predict", {b"POST": self._predict}),
            "/metrics": ("metrics", {b"GET": self._show_metrics}),
        }
        for base in (f"/v2/models/{name}", f"/v2/models/{name}/versions/{version}"):
            table[base] = ("model", {b"GET": self._when_ready(b"")})
            table[f"{base}/ready"] = ("model_ready", model)
            table[f"{base}/infer"] = ("infer", {b"POST": self._infer})
        return _with_head(table)

    def _pages(self, model: Model, example: Call | None) -> dict[str, tuple[str, dict[bytes, Handler]]]:
        name, version = self._settings.name, self._settings.version
        about = _get(v2.metadata(model, self._settings))
        return _with_head(
            {
                "/": ("page", _get(page(model, self._settings, example), b"text/html; charset=utf-8", PAGE_HEADERS)),
                "/openapi.json": ("openapi", _get(openapi(model, self._settings, example))),
                f"/v2/models/{name}": ("model", about),
                f"/v2/models/{name}/versions/{version}": ("model", about),
            }
        )

    # Handlers

    def _when_ready(self, body: bytes) -> Handler:
        def answer(request: Request, reply: Reply) -> None:
            reply(Response(200, body) if self._ready else refusal(503, "the model is not ready"))

        return answer

    def _show_metrics(self, request: Request, reply: Reply) -> None:
        reply(Response(200, self._metrics.text(), b"text/plain; version=0.0.4; charset=utf-8"))

    def _predict(self, request: Request, reply: Reply) -> None:
        plane = self._checked(request)
        call = v1.read(request.body, plane.inputs, plane.outputs)
        plane.infer(call, _answer(v1.write, reply))

    def _infer(self, request: Request, reply: Reply) -> None:
        plane = self._checked(request)
        call, id = v2.read(request.body)
        plane.infer(call, _answer(lambda outputs: v2.write(outputs, id, self._settings, plane.outputs), reply))

    def _checked(self, request: Request) -> DataPlane:
        _check_media(request)
        if self._plane is None or not self._ready:
            raise UnavailableError("the model is not ready")
        return self._plane


class MediaTypeError(ShipwayError):
    """The body comes in a form that we don't read."""


def _check_media(request: Request) -> None:
    headers = request.headers
    if headers.get(b"content-encoding", b"identity").lower() != b"identity":
        encoding = headers[b"content-encoding"].decode("latin-1")
        raise MediaTypeError(f"content-encoding {encoding!r} is not supported", hint="send the body as it is")
    if b"inference-header-content-length" in headers:
        raise MediaTypeError("the binary tensor extension is not supported", hint="send the values as JSON")
    given = headers.get(b"content-type", JSON)
    if given != JSON and given.partition(b";")[0].strip().lower() != JSON:
        raise MediaTypeError(f"content-type {given.decode('latin-1')!r} is not supported", hint="send application/json")


def _answer(write: Callable[[Outputs], bytes], reply: Reply) -> Callable[[Outputs | Exception], None]:
    def done(result: Outputs | Exception) -> None:
        try:
            response = _response(result) if isinstance(result, Exception) else Response(200, write(result))
        except Exception as error:  # outputs that the protocol has no words for
            response = _response(error)
        reply(response)

    return done


def _response(error: Exception) -> Response:
    if isinstance(error, MediaTypeError):
        return refusal(415, error.message, hint=error.hint)
    for kind, status in STATUS:
        if isinstance(error, kind):
            return refusal(status, error.message, hint=error.hint)
    if isinstance(error, ShipwayError):
        return refusal(500, error.message, hint=error.hint)
    _log_failure(error)
    return refusal(500, f"the server failed: {type(error).__name__}", hint="its log has the traceback")


def _log_failure(error: BaseException) -> None:
    log.error("a request failed", exc_info=error)


def _get(body: bytes, content_type: bytes = JSON, headers: bytes = b"") -> dict[bytes, Handler]:
    response = Response(200, body, content_type, headers)
    return {b"GET": lambda _, reply: reply(response)}


def _with_head(table: dict[str, tuple[str, dict[bytes, Handler]]]) -> dict[str, tuple[str, dict[bytes, Handler]]]:
    """The connection leaves out the body."""
    for _, handlers in table.values():
        if b"GET" in handlers:
            handlers[b"HEAD"] = handlers[b"GET"]
    return table
