"""The application: routes, errors as pages or JSON, and the guard around them."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio.to_thread
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from db.errors import CatalogueError, InvalidQuery, InvalidRecord, QueryTooSlow
from web import api, assets, browse, login, responses, watch, writes
from web.access import Access, Doorkeeper
from web.guard import Guard
from web.metrics import Metrics
from worker.errors import WorkerError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from web.hosts import Hosts
    from web.site import Site

THREADS = 8  # for queries; each may hold a connection


def make_app(site: Site, hosts: Hosts, access: Access | None = None) -> ASGIApp:
    """The page of a site, as an ASGI application that answers to `hosts`.

    Args:
        site: What is shown.
        hosts: The names of the server.
        access: Who may come in; None: everybody.
    """
    access = access or Access()
    metrics = Metrics(site.engine)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        anyio.to_thread.current_default_thread_limiter().total_tokens = THREADS
        yield
        site.thumbnails.close()
        site.vectors.close()

    app = Starlette(
        routes=[
            *browse.ROUTES,
            *login.routes(access),
            *watch.routes(site),
            *api.routes(writes.ROUTES if not site.read_only else []),
            Route("/metrics", metrics.show),
            Route("/static/{name}", assets.asset),
            Route("/healthz", _healthz),
        ],
        exception_handlers={
            HTTPException: _http_error,
            InvalidQuery: _wrong_request,
            InvalidRecord: _wrong_request,
            QueryTooSlow: _too_slow,
            CatalogueError: _no_catalogue,
            WorkerError: _no_catalogue,
            Exception: _fault,
        },
        lifespan=lifespan,
    )
    app.state.site = site
    return Guard(Doorkeeper(metrics.counting(app), access), hosts)


def _healthz(_: Request) -> Response:
    return PlainTextResponse("ok\n", headers={"Cache-Control": "no-store"})


def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    response = responses.error(request, error.status_code, error.detail)
    response.headers.update(error.headers or {})
    return response


def _wrong_request(request: Request, error: Exception) -> Response:
    return responses.error(request, 400, str(error))


def _too_slow(request: Request, error: Exception) -> Response:
    return responses.error(
        request, 503, "The catalogue did not answer within its time limit; narrow the filter."
    )


def _no_catalogue(request: Request, error: Exception) -> Response:
    return responses.error(request, 503, str(error))


def _fault(request: Request, error: Exception) -> Response:
    return responses.error(request, 500, "This is a fault of the program; its log has the details.")
