"""The style, the script and the icon: read once, with addresses that change with their content."""

from __future__ import annotations

import hashlib
from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

FOREVER = "public, max-age=31536000, immutable"
_FOLDER = Path(__file__).parent / "static"
_TYPES = {"page.css": "text/css", "page.js": "text/javascript", "icon.svg": "image/svg+xml"}
_CONTENTS = {name: (_FOLDER / name).read_bytes() for name in _TYPES}
_HASHES = {name: hashlib.sha256(data).hexdigest()[:16] for name, data in _CONTENTS.items()}
ADDRESSES = {name: f"/static/{name}?v={digest}" for name, digest in _HASHES.items()}


def asset(request: Request) -> Response:
    """Send one of the three files; there are no others."""
    name = request.path_params["name"]
    if name not in _CONTENTS:
        raise HTTPException(404, "there is no such file")
    fresh = request.query_params.get("v") == _HASHES[name]
    headers = {"Cache-Control": FOREVER if fresh else "no-cache", "ETag": f'"{_HASHES[name]}"'}
    if request.headers.get("if-none-match") == headers["ETag"]:
        return Response(None, 304, headers)
    return Response(_CONTENTS[name], 200, headers, _TYPES[name])
