"""What every handler of the page needs: the catalogue, the roots, the thumbnails, the limits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.requests import Request

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

    from web.thumbnails import Thumbnails


@dataclass(frozen=True)
class Site:
    """One running page.

    Attributes:
        engine: The catalogue.
        name: The catalogue for people, without passwords.
        thumbnails: Small and large pictures of rows.
        read_only: There are no routes that write.
    """

    engine: Engine
    name: str
    thumbnails: Thumbnails
    read_only: bool


def site_of(request: Request) -> Site:
    """The site that a request is for."""
    site: Site = request.app.state.site
    return site
