"""Checks a message before it is worked, and keeps those that nobody can work as dead letters.

A dead letter is an entry of the queue that is no shard: not JSON, another task, a field that is
missing or of the wrong type. It is kept on the broker with the reason, and the worker goes on. Its
rows, if it had any, stay pending: ``requeue --stale --lost`` publishes them again.
"""

from __future__ import annotations

import base64
import binascii
import json
import time
from collections.abc import Callable
from typing import Any

from worker.queue.backend_digests import HEADER, is_valid

TASK = "fashion_cascade.label_shard"
MAX_DEAD_LETTERS = 1000  # the oldest are dropped
MAX_KEPT_BYTES = 4096  # of an entry
MAX_SHOWN = 80  # characters of a value in a reason


def fault_of(entry: bytes) -> str | None:
    """Why an entry of the queue's list cannot be worked; None if it can."""
    try:
        return _fault_of_envelope(json.loads(entry))
    except (ValueError, RecursionError) as error:
        return f"not JSON: {error}"


def _fault_of_envelope(envelope: Any) -> str | None:
    try:
        properties, headers = envelope["properties"], envelope["headers"]
        task, tag, body = headers["task"], properties["delivery_tag"], envelope["body"]
        info = properties["delivery_info"]
        encoding = properties.get("body_encoding")
        headers["id"], info["exchange"], info["routing_key"]
    except (KeyError, TypeError, AttributeError) as error:
        return f"no message of Celery: {type(error).__name__} {error}"
    if not isinstance(body, str) or not isinstance(tag, str):
        return "no message of Celery: expected a text as body and as delivery_tag"
    if not is_valid(headers.get(HEADER)):
        return f"{HEADER}: expected texts by backend, received {_shown(headers[HEADER])}"
    if not isinstance(task, str) or (task != TASK and not task.startswith("celery.")):
        return f"task {_shown(task)}: expected {TASK}"
    if "json" not in str(envelope.get("content-type")):
        return f"content type {_shown(envelope.get('content-type'))}: expected application/json"
    try:
        decoded = base64.b64decode(body) if encoding == "base64" else body
        arguments, fields, *_ = json.loads(decoded)
    except (ValueError, TypeError, RecursionError, binascii.Error) as error:
        return f"the body cannot be read: {error}"
    if task != TASK:
        return None
    if arguments or not isinstance(fields, dict):
        return f"expected named fields, received {_shown(arguments or fields)}"
    return fault_of_fields(fields)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_text_or_none(value: Any) -> bool:
    return value is None or isinstance(value, str)


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _is_bool(value: Any) -> bool:
    return isinstance(value, bool)


# the fields of a shard, which are the parameters of the task `label_shard`: a test compares them
FIELDS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "crawl": (_is_text, "a text"),
    "paths": (_are_texts, "a list of texts"),
    "shard": (_is_text, "a text"),
    "roots": (_are_texts, "a list of texts"),
    "model_version": (_is_text_or_none, "a text or null"),
    "relabel": (_is_bool, "true or false"),
}
REQUIRED_FIELDS = ("crawl", "paths", "shard")


def fault_of_fields(fields: dict[str, Any]) -> str | None:
    """Why the fields of a shard cannot be worked; None if they can."""
    for name in REQUIRED_FIELDS:
        if name not in fields:
            return f"{name} is missing"
    for name, value in fields.items():
        if name not in FIELDS:
            return f"{_shown(name)} is not known to this version; upgrade the workers, then requeue"
        is_right, expected = FIELDS[name]
        if not is_right(value):
            return f"{name}: expected {expected}, received {_shown(value)}"
    return None


def _shown(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= MAX_SHOWN else shown[:MAX_SHOWN] + "…"


def dead_letters_key(queue: str) -> str:
    """The Redis list of the queue's dead letters, the newest first."""
    return f"dead-letters.{queue}"


def dead_letter(entry: bytes, reason: str) -> str:
    """An element of that list."""
    kept = entry[:MAX_KEPT_BYTES].decode("utf-8", "replace")
    return json.dumps({"reason": reason, "at": time.time(), "entry": kept})
