"""The OpenAPI document: what FastAPI makes of the routes, and what the manners in front of them answer."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from swarmops import __version__
from swarmops.gateways.http.router import Needs, Problem

ABOUT = """The door into a swarm of agents. Send `Authorization: Bearer <id>.<secret>` (`swarmops token create`).

Errors are `{"error": sentence, "path": field}`. Times `*_ms` are milliseconds since 1970, durations are seconds."""
ALL = {
    400: "not plain: no JSON, a tricky path, a token in the URL, a Host that is not ours",
    408: "the body did not arrive in time",
    413: "too large",
    414: "the address is too long",
    429: "too often, or no room: again after the seconds in Retry-After",
    431: "the headers are too large",
    500: "our fault",
    503: "Redis is away: again after the seconds in Retry-After",
}
GUARDED = {401: "no good token", 403: "the token lacks the scope that is named"}
WITH_BODY = {415: "the body must be application/json"}
READING = {404: "there is no such thing", 409: "not in the state it is in", 422: "a field is wrong"}
_METHODS = ("get", "put", "post", "patch", "delete")


def document(app: FastAPI, open_paths: Collection[str]) -> dict[str, Any]:
    """Made once, then kept."""
    if app.openapi_schema:
        return app.openapi_schema
    made = get_openapi(title="swarmops", version=__version__, description=ABOUT, routes=app.routes)
    parts = made.setdefault("components", {})
    parts["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    schemas = parts.setdefault("schemas", {})
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas |= {**problem.pop("$defs", {}), "Problem": problem}
    scopes = _scopes(app)
    for path, item in made["paths"].items():
        for method in _METHODS:
            if method in item:
                _complete(item[method], path in open_paths, scopes.get((path, method), ()))
    app.openapi_schema = made
    return made


def _complete(one: dict[str, Any], is_open: bool, scopes: tuple[str, ...]) -> None:
    known = dict(ALL)
    if is_open:
        one["security"] = []
    else:
        known |= {**GUARDED, **READING}
        one["security"] = [{"token": []}]
        if scopes:
            one["description"] = f"{one.get('description', '')}\n\nNeeds the scope {' or '.join(scopes)}.".strip()
    if "requestBody" in one:
        known |= WITH_BODY
    answers = one["responses"]
    answers.pop("422", None)
    for status, said in known.items():
        if str(status) in answers and "content" in answers[str(status)]:
            continue
        schema = {"$ref": "#/components/schemas/Problem"}
        answers[str(status)] = {"description": said, "content": {"application/json": {"schema": schema}}}
        if status in (429, 503):
            retry = {"description": "seconds", "schema": {"type": "string", "pattern": "^[0-9]+$"}}
            answers[str(status)]["headers"] = {"Retry-After": retry}


def _scopes(app: FastAPI) -> dict[tuple[str, str], tuple[str, ...]]:
    found = {}
    for route in app.routes:
        for needs in [d.call for d in getattr(getattr(route, "dependant", None), "dependencies", ())]:
            if isinstance(needs, Needs):
                for method in getattr(route, "methods", None) or ():
                    found[getattr(route, "path", ""), method.lower()] = needs.any_of
    return found
