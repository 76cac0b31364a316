"""The grid with its facets, a picture's own page, and the pictures themselves."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Engine
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from db import features
from db.browsing import QUERY_SECONDS, SORTS, picture, window
from db.filters import Filter
from db.records import FAILED_STATUSES, Row
from db.session import reading
from db.tables import catalogue
from rendering.html import render
from web import facets, responses
from web.assets import FOREVER
from web.site import Site, site_of
from web.thumbnails import LARGE, SMALL
from web.tiles import Tile, leaf_probabilities, tile
from web.views import View

LARGEST_ID = 2**63 - 1
SIMILAR_SHOWN = 12
# built once: building it took half of its time, for each picture of a page
_PATH = sa.select(catalogue.c.path).where(catalogue.c.id == sa.bindparam("row_id"))


def grid(request: Request) -> Response:
    """One page of the rows of a view."""
    site = site_of(request)
    view = View.parse(request.query_params.multi_items())
    found = window(site.engine, view.wanted, sort=view.sort, size=view.size, at=view.at)
    return responses.page(
        request,
        "browse.html",
        view=view,
        tiles=[tile(row) for row in found.rows],
        can_requeue=_can_requeue(site, found.rows),
        previous=found.previous and view.address(at=found.previous),
        next=found.next and view.address(at=found.next),
        first=view.address() if view.at is not None else None,
        facets=facets.facets(site.engine, view),
        sorts=[(name, view.address(sort=name), name == view.sort) for name in SORTS],
        searches=_searches(view),
    )


def _can_requeue(site: Site, rows: Sequence[Row]) -> bool:
    """Whether any of these rows can be put into the queue again."""
    has_queue = site.settings is not None and not site.read_only
    return has_queue and any(row.status in FAILED_STATUSES for row in rows)


def _searches(view: View) -> list[tuple[str, str, str]]:
    """(name, words, value) of the fields for free filters."""
    words = {"label": "Label", "path": "Path", "product_id": "Product id", "url": "Address"}
    words["shop"] = "Shop"
    return [(name, title, getattr(view.wanted, name) or "") for name, title in words.items()]


def one_facet(request: Request) -> Response:
    """A facet that was not counted in time, as a piece of the page."""
    site = site_of(request)
    view = View.parse(request.query_params.multi_items())
    name = request.path_params["name"]
    if name not in facets.TITLES:
        raise HTTPException(404, "there is no such facet")
    found = facets.one_facet(site.engine, view, name, seconds=QUERY_SECONDS)
    text = render("facet.html", package="web", facet=found)
    return Response(text, 200, {"Cache-Control": "no-store"}, "text/html")


def one_picture(request: Request) -> Response:
    """A row with its history."""
    site = site_of(request)
    found = picture(site.engine, _row_id(request))
    if found is None:
        raise HTTPException(404, "there is no such picture")
    return responses.page(
        request,
        "picture.html",
        found=found,
        tile=tile(found.row),
        can_requeue=_can_requeue(site, [found.row]),
        same=[tile(row) for row in found.same_bytes],
        similar=_similar(site, found.row),
        leaf_probabilities=leaf_probabilities(found.row),
        fields=[(name, value) for name, value in vars(found.row).items() if value is not None],
    )


def _similar(site: Site, row: Row) -> list[tuple[Tile, float]] | None:
    """Pictures that look like a row's, with their cosines; None: the vectors are being read."""
    content_hash = row.content_hash
    digests = features.digests_of(site.engine, content_hash) if content_hash else []
    if not content_hash or not digests:
        return []
    index = site.vectors.get(digests[0])
    if index is None:
        return None
    import numpy as np

    stored = features.stored(site.engine, digests[0], [content_hash])
    if content_hash not in stored:  # removed just now
        return []
    found = features.similar(
        site.engine,
        index,
        np.frombuffer(stored[content_hash], np.int8),
        Filter(),
        limit=SIMILAR_SHOWN,
        without=content_hash,
        seconds=QUERY_SECONDS,
    )
    return [(tile(other), cosine) for other, cosine in found]


async def pixels(request: Request) -> Response:
    """The picture of a row, small or large, as a JPEG; a drawn placeholder if there is none."""
    site = site_of(request)
    frame = {"small": SMALL, "large": LARGE}.get(request.path_params["size"])
    if frame is None:
        raise HTTPException(404, "expected small or large")
    row_id = _row_id(request)
    made = await site.thumbnails.make(lambda: _path_of(site.engine, row_id), frame)
    if made is None:
        raise HTTPException(404, "there is no such picture")
    if made.jpeg is None:
        text = render("placeholder.svg", package="web", reason=made.reason)
        return Response(text, 200, {"Cache-Control": "no-store"}, "image/svg+xml")
    # the address has the hash of the bytes that were labelled; others may replace the file
    fresh = request.query_params.get("v") == made.digest
    caching = FOREVER.replace("public", "private") if fresh else "private, no-cache"
    headers = {"Cache-Control": caching, "ETag": f'"{made.tag}"'}
    if request.headers.get("if-none-match") == headers["ETag"]:
        return Response(None, 304, headers)
    return Response(made.jpeg, 200, headers, "image/jpeg")


def _path_of(engine: Engine, row_id: int) -> str | None:
    """The path of a row; None: no such row."""
    with reading(engine, seconds=QUERY_SECONDS) as connection:
        return connection.execute(_PATH, {"row_id": row_id}).scalar_one_or_none()


def _row_id(request: Request) -> int:
    number = int(request.path_params["id"])
    if number > LARGEST_ID:
        raise HTTPException(404, "there is no such picture")
    return number


ROUTES = [
    Route("/", grid),
    Route("/facets/{name}", one_facet),
    Route("/pictures/{id:int}", one_picture),
    Route("/pictures/{id:int}/{size:str}", pixels),
]
