"""What every handler of the page needs: the catalogue, the roots, the thumbnails, the limits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.requests import Request

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

    from web.thumbnails import Thumbnails
    from worker.settings import Settings


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


def site_of(request: Request) -> Site:
    """The site that a request is for."""
    site: Site = request.app.state.site
    return site
