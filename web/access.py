"""Who may come in: password or token, sessions, and proof that a write is meant.

Every write by a browser needs three things that a stranger's page cannot bring along: the session
cookie (SameSite=Strict), an Origin that is this server, and the session's own token in the header
``X-CSRF-Token``. A program sends ``Authorization: Bearer TOKEN`` instead, and no cookie.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rendering.html import render
from web import responses
from web.attempts import Attempts

if TYPE_CHECKING:
    from collections.abc import Mapping

SESSION_SECONDS = 12 * 3600
SAFE_METHODS = ("GET", "HEAD")
OPEN_PATHS = ("/healthz",)
LOGIN = "/login"
WITHOUT_TOKEN = (LOGIN, "/logout")  # forms of the page; their Origin is checked
LONGEST_NAME = 200
_MACHINE_PATHS = ("/api/", "/metrics", "/events", "/pictures/", "/facets/")


@dataclass(frozen=True)
class Secrets:
    """What the settings `serve_…` say; without password and token everybody may come in."""

    password: str = ""
    token: str = ""
    user_header: str = ""
    trusted_proxies: Sequence[str] = ()

    @property
    def any(self) -> bool:
        """Whether one must log in."""
        return bool(self.password or self.token)

    def trusts(self, address: str) -> bool:
        """Whether a proxy at this address is believed."""
        try:
            found = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(found in ipaddress.ip_network(each) for each in self.trusted_proxies)


@dataclass(frozen=True)
class Session:
    """A browser: a random id, whether it has logged in, and when this ends (seconds since 1970)."""

    id: str
    logged_in: bool
    ends: int


@dataclass(frozen=True)
class Caller:
    """Who sends a request, as far as it is believed; in the scope as ``caller``."""

    address: str
    https: bool
    session: Session | None
    by_token: bool
    user: str | None
    csrf: str


def caller_of(request: Request) -> Caller:
    """The caller of a request."""
    caller: Caller = request.scope["caller"]
    return caller


@dataclass
class Access:
    """Sessions and checks of one server; its key lives as long as the process."""

    known: Secrets = field(default_factory=Secrets)
    clock: Callable[[], float] = time.time
    _key: bytes = field(default_factory=lambda: secrets.token_bytes(32))

    def __post_init__(self) -> None:
        self.attempts = Attempts(self.clock)

    def is_secret(self, given: str) -> bool:
        """Whether this is the password or the token; the time does not tell how nearly."""
        known = [text for text in (self.known.password, self.known.token) if text]
        return sum(_equal(given, text) for text in known) > 0  # all are compared, always

    def is_token(self, given: str) -> bool:
        """Whether this is the token."""
        return bool(self.known.token) and _equal(given, self.known.token)

    def new_session(self, *, logged_in: bool) -> Session:
        """A session with a new id."""
        ends = int(self.clock()) + SESSION_SECONDS
        return Session(secrets.token_urlsafe(18), logged_in, ends)

    def cookie(self, session: Session) -> str:
        """The value of a session's cookie."""
        text = f"{session.id}.{int(session.logged_in)}.{session.ends}"
        return f"{text}.{self._mac('session', text)}"

    def session_of(self, cookie: str) -> Session | None:
        """The session of a cookie that this server gave and that has not ended."""
        text, _, mac = cookie.rpartition(".")
        if not hmac.compare_digest(mac.encode(), self._mac("session", text).encode()):
            return None
        id, logged_in, ends = text.split(".")
        session = Session(id, logged_in == "1", int(ends))
        return session if session.ends > self.clock() else None

    def csrf(self, session: Session | None) -> str:
        """The token that the writes of a session carry."""
        return "" if session is None else self._mac("csrf", session.id)

    def set_cookie(self, request: Request, response: Response, session: Session) -> None:
        """Give a session to the browser."""
        response.headers.append("set-cookie", self._header(request, session))

    def _header(self, request: Request, session: Session) -> str:
        secure = "; Secure" if caller_of(request).https else ""
        return (
            f"{cookie_name(request.scope)}={self.cookie(session)}; Path=/; "
            f"Max-Age={SESSION_SECONDS}; HttpOnly; SameSite=Strict{secure}"
        )

    def _mac(self, purpose: str, text: str) -> str:
        return hmac.new(self._key, f"{purpose}:{text}".encode(), hashlib.sha256).hexdigest()


def cookie_name(scope: Scope | Mapping[str, object]) -> str:
    """The cookie's name: browsers share cookies between the ports of a host."""
    server = scope.get("server")
    port = server[1] if isinstance(server, tuple | list) else None
    return f"fashion_cascade_{port or 0}"


class Doorkeeper:
    """Lets requests through to an application, or answers 401, 403, 429 or with the login."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app, self._access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Find out who sends a request, and check whether they may."""
        if scope["type"] != "http" or scope["path"] in OPEN_PATHS:
            scope["caller"] = Caller("", False, None, False, None, "")
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        caller = scope["caller"] = self._caller(request)
        refusal = self._refusal(request, caller)
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        needs_session = (
            caller.session is None and not caller.by_token and request.method in SAFE_METHODS
        )
        if not needs_session or scope["path"].startswith(("/static/", *_MACHINE_PATHS)):
            await self._app(scope, receive, send)
            return
        session = self._access.new_session(logged_in=False)
        scope["caller"] = Caller(
            *(caller.address, caller.https, session, False, caller.user),
            self._access.csrf(session),
        )

        async def send_with_cookie(message: Message) -> None:
            if message["type"] == "http.response.start":
                header = self._access._header(request, session)
                MutableHeaders(scope=message).append("set-cookie", header)
            await send(message)

        await self._app(scope, receive, send_with_cookie)

    def _caller(self, request: Request) -> Caller:
        peer = request.client.host if request.client else ""
        known = self._access.known
        trusted = known.trusts(peer)
        address, https, user = peer, request.url.scheme == "https", None
        if trusted:
            address = self._forwarded_for(request) or peer
            https = https or request.headers.get("x-forwarded-proto") == "https"
            if known.user_header:
                given = request.headers.get(known.user_header, "").strip()
                user = given[:LONGEST_NAME] or None
        kind, _, given = request.headers.get("authorization", "").partition(" ")
        by_token = kind.casefold() == "bearer" and self._token_fits(given.strip(), address)
        session = self._access.session_of(request.cookies.get(cookie_name(request.scope), ""))
        return Caller(address, https, session, by_token, user, self._access.csrf(session))

    def _forwarded_for(self, request: Request) -> str | None:
        """The last address that no trusted proxy has."""
        listed = ",".join(request.headers.getlist("x-forwarded-for")).split(",")
        for entry in reversed([each.strip() for each in listed]):
            if entry and not self._access.known.trusts(entry):
                return entry
        return None

    def _token_fits(self, given: str, address: str) -> bool:
        if not self._access.attempts.allow(address):
            return False
        if self._access.is_token(given):
            self._access.attempts.succeeded(address)
            return True
        return False

    def _refusal(self, request: Request, caller: Caller) -> Response | None:
        path = request.url.path
        session = caller.session
        is_inside = caller.by_token or (session is not None and session.logged_in)
        if self._access.known.any and not is_inside:
            if path.startswith("/static/"):
                return None
            if path != LOGIN:
                return self._ask_to_log_in(request, caller)
        elif session is None and _comes_from_elsewhere(request):
            return _come_again(request)
        if request.method in SAFE_METHODS or caller.by_token:
            return None
        if not _is_own_origin(request):
            return responses.refusal(request, 403, "expected a request from this page itself")
        if path in WITHOUT_TOKEN:
            return None
        given = request.headers.get("x-csrf-token", "")
        if session is None or not hmac.compare_digest(given.encode(), caller.csrf.encode()):
            words = "this page is too old, or its session has ended: load it again"
            return responses.refusal(request, 403, words)
        return None

    def _ask_to_log_in(self, request: Request, caller: Caller) -> Response:
        blocked = self._access.attempts.blocked_seconds(caller.address)
        if blocked and "authorization" in request.headers:
            found = responses.refusal(request, 429, "too many wrong tokens; try again later")
            found.headers["Retry-After"] = str(blocked)
            return found
        is_page = request.method in SAFE_METHODS and not request.url.path.startswith(_MACHINE_PATHS)
        is_picture = request.url.path.startswith("/pictures/") and request.url.path.count("/") == 2
        if is_page or is_picture:
            if _comes_from_elsewhere(request):
                return _come_again(request)
            there = request.url.path + (f"?{request.url.query}" if request.url.query else "")
            target = LOGIN if there == "/" else f"{LOGIN}?next={quote(there, safe='')}"
            return RedirectResponse(target, 303, {"Cache-Control": "no-store"})
        words = "log in, or send the header Authorization: Bearer TOKEN (setting serve_token)"
        found = responses.refusal(request, 401, words)
        found.headers["WWW-Authenticate"] = "Bearer"
        return found


def _equal(given: str, known: str) -> bool:
    """Compare in a time that depends on neither; hashed, so that lengths do not show either."""
    digests = [hashlib.sha256(text.encode("utf-8", "replace")).digest() for text in (given, known)]
    return hmac.compare_digest(*digests)


def _is_own_origin(request: Request) -> bool:
    origin = urlsplit(request.headers.get("origin", ""))
    own = request.headers.get("host", "").casefold()
    site = request.headers.get("sec-fetch-site", "same-origin")
    is_own = origin.scheme in ("http", "https") and origin.netloc.casefold() == own
    return is_own and site == "same-origin"


def _comes_from_elsewhere(request: Request) -> bool:
    """Whether a link on another site was followed: browsers then keep a strict cookie back."""
    return request.method == "GET" and request.headers.get("sec-fetch-site") == "cross-site"


def _come_again(request: Request) -> Response:
    """A page that asks for itself, now from here, so that the browser sends its cookie."""
    there = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    text = render("again.html", package="web", there=there)
    return Response(text, 200, {"Cache-Control": "no-store"}, "text/html")
