"""The login page: a password or token once, then a session."""

from __future__ import annotations

import asyncio
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from web import responses
from web.access import LOGIN, Access, caller_of

SLOWED_SECONDS = 0.5
MOST_FIELDS = 10


def routes(access: Access, *, slowed_seconds: float = SLOWED_SECONDS) -> list[Route]:
    """The routes of the login; a wrong password is answered after `slowed_seconds`."""

    def show(request: Request) -> Response:
        there = _local(request.query_params.get("next", ""))
        return responses.page(request, "login.html", next=there, wrong=None)

    async def log_in(request: Request) -> Response:
        try:
            given = parse_qs((await request.body()).decode(), max_num_fields=MOST_FIELDS)
        except ValueError:
            return responses.error(request, 400, "expected the fields of the login form")
        there = _local(given.get("next", [""])[0])
        address = caller_of(request).address
        if not access.attempts.allow(address):
            wait = access.attempts.blocked_seconds(address)
            words = f"Too many wrong tries; the next is possible in {wait} seconds."
            refused = responses.page(request, "login.html", status=429, next=there, wrong=words)
            refused.headers["Retry-After"] = str(wait)
            return refused
        if not access.is_secret(given.get("secret", [""])[0]):
            await asyncio.sleep(slowed_seconds)
            words = "This is not the password."
            return responses.page(request, "login.html", status=403, next=there, wrong=words)
        access.attempts.succeeded(address)
        found = RedirectResponse(there, 303, {"Cache-Control": "no-store"})
        # a new id, which nobody can have planted before
        access.set_cookie(request, found, access.new_session(logged_in=True))
        return found

    def log_out(request: Request) -> Response:
        found = RedirectResponse(LOGIN, 303, {"Cache-Control": "no-store"})
        access.set_cookie(request, found, access.new_session(logged_in=False))
        return found

    if not access.known.any:
        return []
    return [
        Route(LOGIN, show),
        Route(LOGIN, log_in, methods=["POST"]),
        Route("/logout", log_out, methods=["POST"]),
    ]


def _local(address: str) -> str:
    """An address of this page; any other becomes the first page."""
    is_local = address.startswith("/") and not address.startswith(("//", "/\\"))
    return address if is_local and address.isprintable() and "\\" not in address else "/"
