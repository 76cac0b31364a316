"""What every handler of the page needs: the catalogue, the roots, the thumbnails, the limits."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from starlette.requests import Request

from db.features import IndexCache

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

    from web.thumbnails import Thumbnails
    from worker.settings import Settings

CACHE_KIB = 8000  # of pages, for each connection to SQLite


@dataclass(frozen=True)
class Site:
    """One running page.

    Attributes:
        engine: The catalogue.
        name: The catalogue for people, without passwords.
        thumbnails: Small and large pictures of rows.
        read_only: There are no routes that write.
        must_log_in: A password or token is set.
        settings: For the queue; None: no queue is asked.
    """

    engine: Engine
    name: str
    thumbnails: Thumbnails
    read_only: bool
    must_log_in: bool = False
    settings: Settings | None = None

    @cached_property
    def vectors(self) -> IndexCache:
        """The vectors of the catalogue, in memory."""
        return IndexCache(self.engine)


def limit_memory(engine: Engine) -> None:
    """Give each SQLite connection of the page a small cache; a worker's has 64 MB.

    A page reads a few rows by index, and has up to eight connections.
    """
    if engine.dialect.name != "sqlite":
        return

    def small_cache(raw: Any, _record: Any) -> None:
        raw.execute(f"PRAGMA cache_size = -{CACHE_KIB}")

    engine.dispose()  # connections that were opened before
    sa.event.listen(engine, "connect", small_cache)


def site_of(request: Request) -> Site:
    """The site that a request is for."""
    site: Site = request.app.state.site
    return site
