"""The outermost layer: checks the Host, limits bodies and slow senders, adds the safe headers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

if TYPE_CHECKING:
    from web.hosts import Hosts

LARGEST_BODY = 1024 * 1024  # bytes; 10,000 corrections have half of it
BODY_SECONDS = 15.0  # for a whole body
_TOO_LARGE = f"expected a body of at most {LARGEST_BODY} bytes"
SAFE_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


class BodyRefused(HTTPException):
    """The body is larger than `LARGEST_BODY`, or did not arrive within `BODY_SECONDS`."""


class Guard:
    """Wraps an application; `seconds` is the time for a whole body."""

    def __init__(self, app: ASGIApp, hosts: Hosts, seconds: float = BODY_SECONDS) -> None:
        self._app, self._hosts, self._seconds = app, hosts, seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it with 400, 408 or 413."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def send_safely(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(scope=message)
                for name, value in SAFE_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        refusal = self._refusal(scope)
        try:
            if refusal is None:
                await self._app(scope, self._bounded(receive), send_safely)
                return
        except BodyRefused as error:
            refusal = _refusal(error.status_code, error.detail)
        if not started:
            await refusal(scope, receive, send_safely)

    def _refusal(self, scope: Scope) -> PlainTextResponse | None:
        headers = Headers(scope=scope)
        given = headers.getlist("host")
        server = scope.get("server")
        if len(given) != 1 or not self._hosts.accept(given[0], server[0] if server else None):
            return _refusal(
                400,
                "this server does not answer to the name in the Host header; start it with "
                "--allowed-host NAME if the name is yours",
            )
        length = headers.get("content-length", "0")
        if not length.isascii() or not length.isdecimal() or int(length[:20]) > LARGEST_BODY:
            return _refusal(413, _TOO_LARGE)
        return None

    def _bounded(self, receive: Receive) -> Receive:
        """`receive` with the limits; the time counts from the first wait for the body."""
        received, deadline, ended = 0, 0.0, False

        async def bounded() -> Message:
            nonlocal received, deadline, ended
            if ended:  # waits for the end of the connection, without a limit
                return await receive()
            now = asyncio.get_running_loop().time()
            deadline = deadline or now + self._seconds
            try:
                message = await asyncio.wait_for(receive(), max(0.0, deadline - now))
            except TimeoutError:
                words = f"expected the body within {self._seconds:g} seconds"
                raise BodyRefused(408, words) from None
            ended = message["type"] != "http.request" or not message.get("more_body", False)
            received += len(message.get("body", b""))
            if received > LARGEST_BODY:
                raise BodyRefused(413, _TOO_LARGE)
            return message

        return bounded


def _refusal(status: int, words: str) -> PlainTextResponse:
    # what remains of the body is not read, so the connection cannot be used again
    return PlainTextResponse(words + "\n", status, {"Connection": "close"})
