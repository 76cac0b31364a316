"""The writes of the page and of its JSON: corrections, their undo, and work for the queue.

``by`` is the name that the person gave. Where a trusted proxy names the user (the setting
`serve_user_header`), that name counts, whatever the request says.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import Any
from urllib.parse import parse_qsl

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from db import corrections, ledger
from db.corrections import Choice, Done
from db.errors import InvalidRecord
from db.filters import storable
from db.ledger import Reopened
from db.writes import backend_digests
from web.access import LONGEST_NAME, caller_of
from web.responses import as_json
from web.site import Site, site_of
from web.views import View

MOST_CHOICES = 10_000
Body = Mapping[str, Any]


def _post(path: str, work: Callable[[Site, Body, str], Any]) -> Route:
    """A route that does `work` with the JSON object of a request and the name of its sender."""

    async def handle(request: Request) -> Response:
        body = _object(await request.body())
        by = caller_of(request).user or str(_field(body, "by", str, "")).strip()
        if len(by) > LONGEST_NAME:
            raise InvalidRecord(f"by: expected a name of at most {LONGEST_NAME} characters")
        return as_json(await run_in_threadpool(work, site_of(request), body, by))

    endpoint: Callable[[Request], Awaitable[Response]] = handle
    return Route(path, endpoint, methods=["POST"])


def _correct(site: Site, body: Body, by: str) -> Any:
    note = _field(body, "note", str, None)
    if "choices" in body:
        choices = _choices(_field(body, "choices", list))
        return _done(corrections.correct(site.engine, choices, by, note))
    wanted = View.parse(parse_qsl(_field(body, "where", str), keep_blank_values=True)).wanted
    label, expected = _label(body, "label"), _field(body, "expected", int)
    return _done(corrections.correct_all(site.engine, wanted, label, by, expected, note=note))


def _undo(site: Site, body: Body, by: str) -> Any:
    return _done(corrections.undo(site.engine, _field(body, "batch", str), by))


def _requeue(site: Site, body: Body, by: str) -> Any:
    """Rejected and quarantined rows are labelled again: of `ids`, of a filter, or of a crawl.

    Quarantined ones get a shard each, so that another crash affects no other picture. A page of
    rows is published when it is pending again; nothing is reopened while no broker answers.
    """
    if "ids" in body:
        ids = _field(body, "ids", list)
        if not 1 <= len(ids) <= MOST_CHOICES or not all(map(_is_id, ids)):
            raise InvalidRecord(f"ids: expected 1 to {MOST_CHOICES} ids of rows")
        with _publisher(site) as publish:
            found = ledger.reopen_rows(site.engine, ids)
            done = publish(found)
        return done | {"left": sorted(set(ids) - {row.id for row in found})}
    if "where" in body:
        wanted = View.parse(parse_qsl(_field(body, "where", str), keep_blank_values=True)).wanted
        expected, sums = _field(body, "expected", int), Counter(requeued=0, released=0)
        with _publisher(site) as publish:
            for page in ledger.reopen_filter(site.engine, wanted, expected):
                sums.update(publish(page))
        return dict(sums)
    crawl, reason = _field(body, "crawl", str), _field(body, "reason", str)
    ledger.require_crawl(site.engine, crawl)
    with _publisher(site) as publish:
        done = publish(ledger.reopen_rejected(site.engine, crawl, reason))
    return {"requeued": done["requeued"]}


def _release(site: Site, body: Body, by: str) -> Any:
    """Quarantined rows of a crawl are tried again, each in a shard of its own."""
    crawl = _field(body, "crawl", str)
    paths = _field(body, "paths", list, [])
    if not all(isinstance(path, str) for path in paths):
        raise InvalidRecord("paths: expected a list of texts")
    ledger.require_crawl(site.engine, crawl)
    with _publisher(site) as publish:
        done = publish(ledger.release_quarantined(site.engine, crawl, paths))
    return {"released": done["released"]}


@contextmanager
def _publisher(site: Site) -> Iterator[Callable[[Sequence[Reopened]], dict[str, int]]]:
    """A function that puts reopened rows into the queue, and counts them.

    Raises:
        BrokerUnreachable: before anything is reopened, if the broker does not answer.
    """
    from worker.enqueue import CeleryPublisher
    from worker.queue import broker
    from worker.queue.requeue import publish_reopened

    if site.settings is None:
        raise InvalidRecord("there is no queue")
    size = site.settings.shard_size
    broker.queue_length(site.settings)
    digests = backend_digests.known(site.engine)
    with closing(CeleryPublisher(site.settings, digests)) as publisher:

        def publish(rows: Sequence[Reopened]) -> dict[str, int]:
            publish_reopened(publisher, rows, size)
            found = Counter(row.status for row in rows)
            return {"requeued": found["rejected"], "released": found["quarantined"]}

        yield publish


def _object(body: bytes) -> Body:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise InvalidRecord("expected a JSON object")
    if not all(storable(value) for value in _values(found)):
        raise InvalidRecord("expected text without NUL and lone surrogates")
    return found


def _values(found: Any) -> Iterator[Any]:
    """All values and names in a JSON value, however deep."""
    left = [found]
    while left:
        value = left.pop()
        if isinstance(value, dict):
            left += [*value.keys(), *value.values()]
        elif isinstance(value, list):
            left += value
        else:
            yield value


_REQUIRED: Any = object()


def _field(body: Body, name: str, kind: type, default: Any = _REQUIRED) -> Any:
    value = body.get(name, default)
    if value is default and default is not _REQUIRED:
        return default
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        words = {str: "a text", int: "a whole number", list: "a list"}[kind]
        raise InvalidRecord(f"{name}: expected {words}")
    return value


def _label(body: Body, name: str) -> str | None:
    value = body.get(name, _REQUIRED)
    if value is not None and not isinstance(value, str):
        raise InvalidRecord(f"{name}: expected a label, or null for none")
    return value


def _choices(found: list[Any]) -> list[Choice]:
    if not 1 <= len(found) <= MOST_CHOICES:
        raise InvalidRecord(f"choices: expected 1 to {MOST_CHOICES} of them")
    choices = []
    for each in found:
        if not isinstance(each, dict):
            raise InvalidRecord("choices: expected objects with id, label and seen")
        number = _field(each, "id", int)
        if not _is_id(number):
            raise InvalidRecord("id: expected the id of a row")
        choices.append(Choice(number, _label(each, "label"), _label(each, "seen")))
    return choices


def _is_id(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def _done(done: Done) -> dict[str, Any]:
    return vars(done) | {"refused": [vars(each) for each in done.refused]}


ROUTES = [
    _post("/corrections", _correct),
    _post("/undo", _undo),
    _post("/requeue", _requeue),
    _post("/release", _release),
]
