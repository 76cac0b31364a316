"""The JSON of the page: ``/api/v1/…``, and the same without the version, which is the newest.

Rows have the names of the CSV columns, and the parameters are those of the page's addresses:
``GET /api/v1/pictures?label=shoes/*&sort=least sure&size=100``. Errors are ``{"error": …}``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route

from cascade.adaptation import MIN_GROUPS
from db import corrections
from db.browsing import QUERY_SECONDS, picture, window
from db.errors import InvalidQuery
from db.filters import label_entries, storable
from db.queries import count, stats
from db.records import Row
from db.session import reading
from web.responses import as_json
from web.site import site_of
from web.views import View
from worker.crawl_progress import crawl_progress


def routes(writes: Sequence[Route]) -> list[BaseRoute]:
    """The routes of the JSON, with these writes among them."""
    reads = [
        Route("/pictures", _pictures),
        Route("/pictures/{id:int}", _picture),
        Route("/stats", _stats),
        Route("/count", _count),
        Route("/crawls", _crawls),
        Route("/labels", _labels),
        Route("/batches", _batches),
        Route("/progress", _progress),
    ]
    return [Mount("/api/v1", routes=[*reads, *writes]), Mount("/api", routes=[*reads, *writes])]


def record(row: Row) -> dict[str, Any]:
    """A row with the names of the CSV columns."""
    return vars(row) | {"final_label": row.label}


def _view(request: Request) -> View:
    return View.parse(request.query_params.multi_items())


def _pictures(request: Request) -> Response:
    view = _view(request)
    engine = site_of(request).engine
    found = window(engine, view.wanted, sort=view.sort, size=view.size, at=view.at)
    rows = [record(row) for row in found.rows]
    return as_json({"pictures": rows, "previous": found.previous, "next": found.next})


def _picture(request: Request) -> Response:
    number = request.path_params["id"]
    found = picture(site_of(request).engine, number) if number < 2**63 else None
    if found is None:
        raise HTTPException(404, "there is no such picture")
    return as_json(
        record(found.row)
        | {
            "same_bytes": [other.id for other in found.same_bytes],
            "label_history": [vars(entry) for entry in found.labels],
            "corrections": [vars(entry) for entry in found.corrections],
        }
    )


def _stats(request: Request) -> Response:
    pairs = request.query_params.multi_items()
    by = [value for name, value in pairs if name == "by"]
    if len(by) > 1:
        raise InvalidQuery("expected 'by' once, received it twice")
    view = View.parse([pair for pair in pairs if pair[0] != "by"])
    found = stats(
        site_of(request).engine, view.wanted, by=by[0] if by else None, seconds=QUERY_SECONDS
    )
    return as_json({"counts": [vars(each) for each in found]})


def _count(request: Request) -> Response:
    wanted = _view(request).wanted
    return as_json({"rows": count(site_of(request).engine, wanted, seconds=QUERY_SECONDS)})


def _crawls(request: Request) -> Response:
    return as_json({"crawls": [vars(each) for each in crawl_progress(site_of(request).engine)]})


def _labels(request: Request) -> Response:
    with reading(site_of(request).engine, seconds=QUERY_SECONDS) as connection:
        return as_json({"labels": [entry.label for entry in label_entries(connection)]})


def _batches(request: Request) -> Response:
    by = request.query_params.get("by") or None
    if not storable(by):
        return as_json({"batches": []})
    found = corrections.batches(site_of(request).engine, by=by, seconds=QUERY_SECONDS)
    return as_json({"batches": [vars(each) for each in found]})


def _progress(request: Request) -> Response:
    wanted = _view(request).wanted
    engine = site_of(request).engine
    found = corrections.progress(engine, wanted, seconds=QUERY_SECONDS)
    products = corrections.corrected_products(engine, wanted, MIN_GROUPS, seconds=QUERY_SECONDS)
    return as_json(vars(found) | {"products_lacking": MIN_GROUPS - products})
