"""Workers run the same files of a backend as the bundle that the pictures were enqueued with."""

from __future__ import annotations

import base64
import json
import os
import shutil
from collections import Counter
from pathlib import Path

import pytest
import sqlalchemy as sa

from cascade.backends import LITERT_FLOAT32, OPENVINO_FLOAT32, TENSORFLOW, installed
from cascade.backends.digests import digests
from cascade.bundle import SHIPPED, Bundle, seal
from db.catalogue import Catalogue
from db.queries import Filter, rows
from db.writes.backend_digests import known
from tests.bundles import converted_anew
from tests.redis_server import RedisServer
from tests.web.serving import served
from tests.web.test_access import csrf, origin
from tests.worker.crawls import Crawl, write_crawl
from tests.worker.queues import SECONDS, Queue
from worker.errors import ModelUnusable
from worker.model_loader import open_model
from worker.queue.backend_digests import (
    HEADER,
    announce,
    require_known_files,
    require_same_files,
)
from worker.settings import Settings

FAST = OPENVINO_FLOAT32 if installed(OPENVINO_FLOAT32) else LITERT_FLOAT32


def backends(queue: Queue) -> Counter[tuple[str | None, str | None]]:
    """Labelled rows by (backend, digest), by plain SQL."""
    engine = sa.create_engine(queue.catalogue_url)
    query = sa.text("SELECT backend, backend_digest FROM catalogue WHERE status = 'labelled'")
    try:
        with engine.connect() as connection:
            return Counter((row[0], row[1]) for row in connection.execute(query))
    finally:
        engine.dispose()


def asked(broker: RedisServer) -> dict[str, tuple[str, dict[str, str]]]:
    """(model version, digests) in the message of each path that waits; the messages are taken."""
    found = {}
    with broker.client() as client:
        for key in client.keys("fashion-cascade*"):  # one list a priority
            while message := client.rpop(key):
                envelope = json.loads(message)
                _, fields, _ = json.loads(base64.b64decode(envelope["body"]))
                asked_for = (fields["model_version"], envelope["headers"].get(HEADER))
                found |= dict.fromkeys(fields["paths"], asked_for)
    return found


def change(catalogue_url: str, sql: str) -> None:
    """Change rows by plain SQL."""
    engine = sa.create_engine(catalogue_url)
    with engine.begin() as connection:
        connection.execute(sa.text(sql))
    engine.dispose()


def log_of(queue: Queue, name: str) -> str:
    return queue.log(name).read_text() if queue.log(name).exists() else ""


def test_files_that_differ_are_refused_until_they_are_enqueued_with(
    quick_bundle: Path, tmp_path: Path, catalogue: Catalogue
) -> None:
    converted_anew(quick_bundle, tmp_path / "other")
    right = open_model(str(quick_bundle), LITERT_FLOAT32)
    other = open_model(str(tmp_path / "other"), LITERT_FLOAT32)
    reference = open_model(str(tmp_path / "other"), TENSORFLOW)
    asked = right.backend_digests()
    require_known_files(catalogue, other)  # nothing is known yet
    announce(catalogue, right)
    announce(catalogue, right)
    assert known(catalogue.engine) == {right.version: asked}
    for model in (right, reference):  # TensorFlow's files are the same
        require_known_files(catalogue, model)
        require_same_files(catalogue, model, asked)
    with pytest.raises(ModelUnusable, match=r"enqueued with \w{16}: copy that bundle"):
        require_known_files(catalogue, other)
    with pytest.raises(ModelUnusable, match=asked[LITERT_FLOAT32]):
        require_same_files(catalogue, other, asked)
    require_same_files(catalogue, other, None)  # a message of an earlier version
    require_same_files(catalogue, other, {"a_backend_of_later": "1"})
    announce(catalogue, other)  # enqueued again: older messages are done with these files too
    require_known_files(catalogue, other)
    require_same_files(catalogue, other, asked)
    with pytest.raises(ModelUnusable):
        require_known_files(catalogue, right)


@pytest.mark.servers
@pytest.mark.timeout(SECONDS)
def test_pictures_that_are_enqueued_again_ask_for_the_same_bundle(
    tmp_path: Path, broker: RedisServer
) -> None:
    """As many ways as there are: `requeue` and `quarantine release`, and both on the page."""
    second = tmp_path / "second"
    shutil.copytree(SHIPPED, second)
    calibration = second / "calibration.json"
    calibration.write_text(calibration.read_text() + "\n")  # a change of the version
    seal(second, {}, {})
    queue = Queue(tmp_path, broker, f"sqlite:///{tmp_path / 'catalogue.db'}")
    for bundle in (SHIPPED, second):
        write_crawl(queue.pictures / bundle.name, 2)
        queue.run("enqueue", queue.pictures / bundle.name, "--crawl", "spring", "--model", bundle)
    wanted = asked(broker)
    assert len(wanted) == 4
    assert len({version for version, _ in wanted.values()}) == 2
    assert all(digests for _, digests in wanted.values())
    rejected = "UPDATE catalogue SET status = 'rejected', reason = 'missing'"
    quarantined = "UPDATE catalogue SET status = 'quarantined', reason = 'worker_died'"
    for sql, words in (
        (rejected, ("requeue", "--rejected", "missing")),
        (quarantined, ("quarantine", "release", "--crawl", "spring")),
    ):
        change(queue.catalogue_url, sql)
        queue.run(*words)
        assert asked(broker) == wanted
    catalogue = Catalogue.open(queue.catalogue_url)
    with served(catalogue, tmp_path, settings=Settings(broker_url=broker.url)) as client:
        headers = origin(client) | {"X-CSRF-Token": csrf(client)}
        ids = [row.id for row in rows(catalogue.engine, Filter())]
        for sql, name, body in (
            (rejected, "requeue", {"crawl": "spring", "reason": "missing"}),
            (quarantined, "release", {"crawl": "spring"}),
            (rejected, "requeue", {"where": "crawl=spring", "expected": 4}),
            (quarantined, "requeue", {"ids": ids}),
        ):
            change(queue.catalogue_url, sql)
            assert client.post(f"/api/v1/{name}", json=body, headers=headers).is_success
            assert asked(broker) == wanted
    catalogue.close()


@pytest.mark.servers
@pytest.mark.slow
@pytest.mark.timeout(3 * SECONDS)
def test_workers_with_different_backends_of_one_bundle_work_side_by_side(
    queue: Queue, crawl: Crawl, fault_model: str
) -> None:
    queue.environ |= {"FASHION_CASCADE_SHARD_SIZE": "8", "FASHION_CASCADE_POOL_SIZE": "1"}
    queue.run("db", "upgrade")
    for backend in (FAST, TENSORFLOW):
        queue.start_worker(backend, FASHION_CASCADE_BACKEND=backend, SLOW="0.1")
    for backend in (FAST, TENSORFLOW):
        queue.wait(lambda name=backend: "ready" in log_of(queue, name), f"{backend} to be ready")
    expected = queue.fill(crawl, 192)
    queue.wait_for_the_end()
    queue.check(expected)
    own = digests(Bundle.open(Path(fault_model)))
    found = backends(queue)
    assert set(found) == {(backend, own[backend]) for backend in (FAST, TENSORFLOW)}


@pytest.mark.servers
@pytest.mark.slow
@pytest.mark.timeout(3 * SECONDS)
@pytest.mark.skipif("FAULT_MODEL" in os.environ, reason="changes the small bundle")
def test_worker_with_other_files_labels_nothing(
    queue: Queue, crawl: Crawl, fault_model: str, tmp_path: Path
) -> None:
    other = converted_anew(Path(fault_model), tmp_path / "other")
    queue.run("db", "upgrade")
    environ = {"FASHION_CASCADE_MODEL": str(other.folder), "FASHION_CASCADE_BACKEND": FAST}
    other_worker = queue.start_worker("other", **environ)  # nothing is known yet, so it starts
    queue.wait(lambda: "ready" in log_of(queue, "other"), "the worker to be ready")
    expected = queue.fill(crawl, 64)
    # each shard twice: a retried message keeps its digests
    queue.wait(lambda: log_of(queue, "other").count("enqueued with") >= 4, "four refusals")
    assert "Traceback" not in log_of(queue, "other")
    assert queue.statuses() == {"pending": len(expected)}
    refused = queue.start("refused", "cli", "worker", **environ)
    assert refused.wait(SECONDS) == 5
    assert log_of(queue, "refused").count("\n") == 1
    queue.stop(other_worker)
    queue.start_worker("right", FASHION_CASCADE_BACKEND=FAST)
    queue.wait_for_the_end()
    queue.check(expected)
    own = digests(Bundle.open(Path(fault_model)))
    assert set(backends(queue)) == {(FAST, own[FAST])}
