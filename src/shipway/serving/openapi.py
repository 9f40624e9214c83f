"""The OpenAPI 3.1 document of this server with this model, as `/openapi.json` gives it."""

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import UNSET

from shipway.serving.dataplane import Call
from shipway.serving.model import Model, Tensor
from shipway.serving.page import request
from shipway.serving.settings import Settings
from shipway.serving.tensors import DTYPES

Schema = dict[str, Any]

ERROR = {"$ref": "#/components/schemas/Error"}
READY = {"$ref": "#/components/schemas/Ready"}
TEXT: Schema = {"type": "string"}


def openapi(model: Model, settings: Settings, example: Call | None) -> bytes:
    return msgspec.json.encode(
        {
            "openapi": "3.1.0",
            "info": {
                "title": settings.name,
                "version": settings.version,
                "description": "One model, over KServe V1 and the Open Inference Protocol.",
            },
            "paths": {**_general(settings), **_v2(model, settings, request(model, example)), **_v1(model, settings)},
            "components": {"schemas": _schemas(model, settings)},
        }
    )


def _general(settings: Settings) -> Schema:
    ready = _get(
        "Whether the model is loaded and has answered its probe", READY, {"503": _answer("It isn't (yet)", ERROR)}
    )
    return {
        "/": {
            "get": {
                "summary": "A page to try the model",
                "responses": {"200": {"description": "HTML", "content": {"text/html": {"schema": TEXT}}}},
            }
        },
        "/metrics": {
            "get": {
                "summary": "Prometheus metrics",
                "responses": {"200": {"description": "Text format 0.0.4", "content": {"text/plain": {"schema": TEXT}}}},
            }
        },
        "/v2": _get(
            "The server", _object({"name": TEXT, "version": TEXT, "extensions": {"type": "array", "items": TEXT}})
        ),
        "/v2/health/live": _get("Whether the process answers", _object({"live": {"const": True}})),
        "/v2/health/ready": ready,
        "/v1/models": _get("Names of the models", _object({"models": {"type": "array", "items": TEXT}})),
        f"/v1/models/{settings.name}": _get(
            "Whether the model is ready",
            _object({"name": TEXT, "ready": {"type": "boolean"}}),
            {"503": _answer("It isn't", ERROR)},
        ),
    }


def _v2(model: Model, settings: Settings, example: Schema) -> Schema:
    infer = _post("Predict (Open Inference Protocol)", "InferRequest", "InferResponse", example)
    metadata = {"$ref": "#/components/schemas/ModelMetadata"}
    unready = {"503": _answer("The model is not loaded", ERROR)}
    paths: Schema = {}
    for base in (f"/v2/models/{settings.name}", f"/v2/models/{settings.name}/versions/{settings.version}"):
        paths[base] = _get("The model's inputs and outputs", metadata, unready)
        paths[f"{base}/ready"] = _get("Whether the model is ready", READY, unready)
        paths[f"{base}/infer"] = infer
    return paths


def _v1(model: Model, settings: Settings) -> Schema:
    return {
        f"/v1/models/{settings.name}:predict": _post("Predict (KServe V1)", "PredictRequest", "PredictResponse", None)
    }


def _schemas(model: Model, settings: Settings) -> Schema:
    parameters = {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean"]}}
    infer_input = _object(
        {
            "name": {"enum": [tensor.name for tensor in model.inputs]},
            "shape": {"type": "array", "items": {"type": "integer", "minimum": 0}},
            "datatype": {"enum": list(DTYPES)},
            "data": {"type": "array"},
        },
        {"parameters": parameters},
    )
    wanted = _object({"name": {"enum": [tensor.name for tensor in model.outputs]}}, {"parameters": parameters})
    output = _object(
        {
            "name": TEXT,
            "datatype": TEXT,
            "shape": {"type": "array", "items": {"type": "integer"}},
            "data": {"type": "array"},
        }
    )
    tensor = _object(
        {"name": TEXT, "datatype": TEXT, "shape": {"type": "array", "items": {"type": "integer"}}},
        {"parameters": {"type": "object"}},
    )
    return {
        "Error": _object({"error": TEXT}),
        "Ready": _object({"ready": {"const": True}}),
        "InferRequest": _object(
            {"inputs": {"type": "array", "minItems": 1, "items": infer_input}},
            {"id": TEXT, "parameters": parameters, "outputs": {"type": "array", "items": wanted}},
        ),
        "InferResponse": _object(
            {
                "model_name": {"const": settings.name},
                "model_version": TEXT,
                "outputs": {"type": "array", "items": output},
            },
            {"id": TEXT},
        ),
        "PredictRequest": _object({"instances": _instances(model)}),
        "PredictResponse": _object({"predictions": {"type": "array"}}),
        "ModelMetadata": _object(
            {
                "name": TEXT,
                "versions": {"type": "array", "items": TEXT},
                "platform": TEXT,
                "inputs": {"type": "array", "items": tensor},
                "outputs": {"type": "array", "items": tensor},
            }
        ),
    }


def _instances(model: Model) -> Schema:
    named = _object({tensor.name: _value(tensor, tensor.shape[1:]) for tensor in model.inputs})
    only = model.inputs[0]
    forms = [{**named, "additionalProperties": False}]
    if len(model.inputs) == 1:
        forms.append(_value(only, only.shape[1:]))
        if only.parameters is not UNSET and "columns" in only.parameters:
            columns = {str(column): _value(only, ()) for column in only.parameters["columns"]}
            forms.append({**_object(columns), "additionalProperties": False})
    return {"anyOf": [{"type": "array", "minItems": 1, "items": form} for form in forms]}


def _value(tensor: Tensor, shape: tuple[int, ...]) -> Schema:
    """One row of an input."""
    if not shape:
        kind = {"BYTES": "string", "BOOL": "boolean"}.get(
            tensor.datatype, "number" if tensor.datatype.startswith("FP") else "integer"
        )
        return {"type": kind}
    size = {} if shape[0] < 0 else {"minItems": shape[0], "maxItems": shape[0]}
    return {"type": "array", "items": _value(tensor, shape[1:]), **size}


def _get(summary: str, schema: Schema, others: Mapping[str, Any] = {}) -> Schema:
    return {"get": {"summary": summary, "responses": {"200": _answer("OK", schema), **others}}}


def _post(summary: str, asked: str, answered: str, example: Schema | None) -> Schema:
    content: Schema = {"schema": {"$ref": f"#/components/schemas/{asked}"}}
    if example is not None:
        content["example"] = example
    return {
        "post": {
            "summary": summary,
            "requestBody": {"required": True, "content": {"application/json": content}},
            "responses": {
                "200": _answer("The model's outputs", {"$ref": f"#/components/schemas/{answered}"}),
                "400": _answer("The request is malformed or doesn't fit the model", ERROR),
                "413": _answer("The body is too long", ERROR),
                "415": _answer("The body is not plain JSON", ERROR),
                "500": _answer("The model failed", ERROR),
                "503": _answer("The model is not loaded", ERROR),
            },
        }
    }


def _answer(description: str, schema: Schema) -> Schema:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _object(required: Schema, optional: Schema = {}) -> Schema:
    return {"type": "object", "properties": {**required, **optional}, "required": list(required)}
