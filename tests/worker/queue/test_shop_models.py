"""A shop's pictures are labelled by its model, the others by that of the settings."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from cascade.bundle import SHIPPED, Bundle, seal
from db.catalogue import Catalogue
from db.errors import InvalidRecord
from db.records import LabelEntry
from db.writes import shop_models
from tests.redis_server import RedisServer
from tests.worker.crawls import write_crawl
from tests.worker.queues import Queue

LABELS = [LabelEntry("a", "a"), LabelEntry("b", "b")]


def test_a_shop_has_one_rule(catalogue: Catalogue) -> None:
    for version in ("one", "two"):
        catalogue.register_model(version, LABELS)
    engine = catalogue.engine
    assert shop_models.rules(engine) == []
    with pytest.raises(InvalidRecord, match="registered"):
        shop_models.choose(engine, "liberty", "three")
    with pytest.raises(InvalidRecord, match="name of a shop"):
        shop_models.choose(engine, " ", "one")
    shop_models.choose(engine, "liberty", "one")
    shop_models.choose(engine, "atelier", "one")
    shop_models.choose(engine, "liberty", "two")
    found = {rule.shop: rule.version for rule in shop_models.rules(engine)}
    assert found == {"atelier": "one", "liberty": "two"}
    assert shop_models.drop(engine, "liberty")
    assert not shop_models.drop(engine, "liberty")
    assert [rule.shop for rule in shop_models.rules(engine)] == ["atelier"]


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[Queue]:
    """A queue on SQLite whose workers have one bundle, and a store with another."""
    server = RedisServer(tmp_path / "redis").start()
    made = Queue(tmp_path, server, f"sqlite:///{tmp_path / 'catalogue.db'}", str(SHIPPED))
    made.environ["FASHION_CASCADE_MODEL_STORE"] = str(tmp_path / "store")
    yield made
    made.close()
    server.kill()


@pytest.fixture
def other(tmp_path: Path) -> Bundle:
    """The same networks with another calibration, so another version."""
    folder = tmp_path / "other"
    shutil.copytree(SHIPPED, folder)
    file = folder / "calibration.json"
    calibration = json.loads(file.read_text())
    calibration["temperatures"] = {name: 2 * t for name, t in calibration["temperatures"].items()}
    file.write_text(json.dumps(calibration))
    return seal(folder, {}, {})


def versions(url: str) -> dict[tuple[str | None, str], int]:
    """The number of rows by shop and model version, by plain SQL."""
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        query = "SELECT shop, model_version, count(*) FROM catalogue GROUP BY 1, 2"
        found = connection.execute(sa.text(query)).all()
    engine.dispose()
    return {(shop, version): number for shop, version, number in found}


@pytest.mark.servers
@pytest.mark.timeout(600)
def test_workers_follow_the_rule_of_a_shop(queue: Queue, other: Bundle) -> None:
    usual = Bundle.open(SHIPPED).version
    assert other.version != usual
    for shop in ("atelier", "liberty"):
        write_crawl(queue.pictures / shop, 10)
    enqueue = ("enqueue", queue.pictures, "--crawl", "spring")
    queue.run(*enqueue, "--shop-from", "folder")
    queue.run("models", "use", other.folder, "--shop", "liberty")
    queue.run("models", "publish", other.folder)
    assert "liberty" in queue.run("models", "shops", "--format", "csv")
    queue.run(*enqueue, "--shop-from", "folder")
    queue.start_worker()
    queue.wait_for_the_end()
    expected = {("atelier", usual): 10, ("liberty", other.version): 10}
    assert versions(queue.catalogue_url) == expected
    assert {status for _, status, _, _ in queue.rows()} == {"labelled"}
    # the row knows its shop: nothing is labelled again by the usual model
    assert ", 0 enqueued in" in queue.run(*enqueue)
    # a model that is asked for overrides the rule
    queue.run(*enqueue, "--model", SHIPPED)
    queue.wait_for_the_end()
    assert versions(queue.catalogue_url) == {("atelier", usual): 10, ("liberty", usual): 10}
    queue.run(*enqueue)
    queue.wait_for_the_end()
    assert versions(queue.catalogue_url) == expected
    queue.run("models", "shops", "--remove", "liberty")
    queue.run(*enqueue)
    queue.wait_for_the_end()
    assert versions(queue.catalogue_url) == {("atelier", usual): 10, ("liberty", usual): 10}
    queue.run("models", "shops", "--remove", "liberty", code=2)
