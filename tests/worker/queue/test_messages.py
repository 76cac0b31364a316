"""Messages that nobody can work are set aside with a reason."""

from __future__ import annotations

import base64
import inspect
import json
from typing import Any

import pytest

from worker.queue.messages import (
    FIELDS,
    MAX_DEAD_LETTERS,
    REQUIRED_FIELDS,
    dead_letters_key,
    fault_of,
)
from worker.settings import Settings

GOOD = {"crawl": "spring", "paths": ["/a.jpg"], "shard": "1", "roots": [], "model_version": None}


def entry(fields: Any, task: str = "fashion_cascade.label_shard", arguments: Any = ()) -> bytes:
    body = base64.b64encode(json.dumps([list(arguments), fields, {}]).encode()).decode()
    return json.dumps(
        {
            "body": body,
            "content-encoding": "utf-8",
            "content-type": "application/json",
            "headers": {"task": task, "id": "1", "lang": "py"},
            "properties": {
                "correlation_id": "1",
                "delivery_mode": 2,
                "delivery_info": {"exchange": "", "routing_key": "fashion-cascade"},
                "priority": 3,
                "body_encoding": "base64",
                "delivery_tag": "tag",
            },
        }
    ).encode()


BAD = [
    (b"not json", "not JSON"),
    (b"\xff\xfe", "not JSON"),
    (b"[" * 100_000, "not JSON"),
    (b"[1, 2]", "no message of Celery"),
    (b"7", "no message of Celery"),
    (b'{"headers": {}, "properties": {}, "body": ""}', "no message of Celery"),
    (entry(GOOD).replace(b'"body": "', b'"body": "AAA'), "the body cannot be read"),
    (entry(GOOD, task="other.task"), "task 'other.task'"),
    (entry(GOOD).replace(b'"lang"', b'"backend_digests": {"x": 1}, "lang"'), "backend_digests"),
    (entry(GOOD, arguments=["spring"]), "expected named fields"),
    (entry([1]), "expected named fields"),
    (entry(GOOD | {"paths": "/a.jpg"}), "paths: expected a list of texts, received '/a.jpg'"),
    (entry(GOOD | {"paths": [1]}), "paths: expected a list of texts"),
    (entry(GOOD | {"paths": None}), "paths: expected a list of texts, received None"),
    (entry(GOOD | {"crawl": 3}), "crawl: expected a text, received 3"),
    (entry(GOOD | {"roots": None}), "roots: expected a list of texts"),
    (entry(GOOD | {"relabel": "yes"}), "relabel: expected true or false"),
    (entry({"crawl": "spring", "shard": "1"}), "paths is missing"),
    (entry(GOOD | {"wings": 2}), "'wings' is not known to this version"),
]


@pytest.mark.parametrize(("bad", "reason"), BAD)
def test_what_cannot_be_worked_has_a_reason(bad: bytes, reason: str) -> None:
    assert (fault_of(bad) or "").startswith(reason)


def test_shards_of_every_version_are_accepted() -> None:
    assert fault_of(entry(GOOD)) is None
    assert fault_of(entry(GOOD | {"relabel": True, "model_version": "v"})) is None
    assert fault_of(entry({"crawl": "c", "paths": [], "shard": "1"})) is None


def test_the_key_of_the_dead_letters_is_not_a_queue() -> None:
    assert dead_letters_key(Settings().queue) == "dead-letters.fashion-cascade"
    assert MAX_DEAD_LETTERS == 1000


def test_the_fields_are_the_parameters_of_the_task() -> None:
    from worker.queue.tasks import label_shard

    parameters = inspect.signature(label_shard.run).parameters
    assert set(FIELDS) == set(parameters)
    required = [name for name, p in parameters.items() if p.default is p.empty]
    assert list(REQUIRED_FIELDS) == required
