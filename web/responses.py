"""Pages from the templates of this folder, JSON, and errors in the form that was asked for."""

from __future__ import annotations

import json
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response

from db.exports.text_encoding import plain
from rendering.html import render
from web import assets
from web.site import site_of


def page(request: Request, template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
    """A page of a template in ``web/templates``; never kept by a cache."""
    site = site_of(request)
    text = render(
        template,
        package="web",
        site=site,
        assets=assets.ADDRESSES,
        path=request.url.path,
        caller=request.scope["caller"],
        must_log_in=site.must_log_in,
        **values,
    )
    return HTMLResponse(text, status, {"Cache-Control": "no-store"})


def as_json(value: Any, status: int = 200) -> Response:
    """A value as JSON, with times as in the CSV; never kept by a cache."""
    text = json.dumps(value, ensure_ascii=True, default=plain)
    return Response(text, status, {"Cache-Control": "no-store"}, "application/json")


def error(request: Request, status: int, message: str) -> Response:
    """An error as JSON below ``/api/``, as a page elsewhere."""
    if request.url.path.startswith("/api/"):
        return as_json({"error": message}, status)
    return page(request, "message.html", status=status, message=message, code=status)


def refusal(request: Request, status: int, words: str) -> Response:
    """What a request is answered that is not let through to the site."""
    if request.url.path.startswith("/api/"):
        return as_json({"error": words}, status)
    return PlainTextResponse(f"{words}\n", status, {"Cache-Control": "no-store"})
