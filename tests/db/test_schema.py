"""The schema: creation, upgrade, downgrade, refusal, and equality with `db.tables`."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import sqlalchemy as sa

from db import schema
from db.catalogue import Catalogue
from db.check import check
from db.errors import SchemaMissing, SchemaTooNew, SchemaTooOld
from db.session import make_engine, reading, writing
from tests.db.samples import labelled, put


def test_missing_catalogue_is_an_error_and_not_created(catalogue_url: str, tmp_path: Path) -> None:
    with pytest.raises(SchemaMissing, match="label a folder"):
        Catalogue.open(catalogue_url, create=False)
    assert list(tmp_path.iterdir()) == []


def test_later_schema_is_refused(catalogue_url: str) -> None:
    Catalogue.open(catalogue_url).close()
    engine = make_engine(catalogue_url)
    with writing(engine) as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    for create in (True, False):
        with pytest.raises(SchemaTooNew, match=r"9999.*install the later version"):
            Catalogue.open(catalogue_url, create=create)
    with pytest.raises(SchemaTooNew):
        schema.downgrade(engine, "base")
    engine.dispose()


def test_earlier_schema_is_refused_or_upgraded(catalogue_url: str) -> None:
    Catalogue.open(catalogue_url).close()
    engine = make_engine(catalogue_url)
    schema.downgrade(engine, "0001")
    with pytest.raises(SchemaTooOld, match="db upgrade"):
        Catalogue.open(catalogue_url, create=False)
    Catalogue.open(catalogue_url, create=True).close()
    Catalogue.open(catalogue_url, create=False).close()
    engine.dispose()


def test_migrations_create_the_defined_tables(catalogue: Catalogue) -> None:
    assert check(catalogue.engine) == []


@pytest.mark.parametrize(
    "damage",
    [
        "ALTER TABLE catalogue ADD COLUMN stray TEXT",
        "ALTER TABLE crawls DROP COLUMN note",
        "DROP INDEX ix_catalogue_label",
        "DROP INDEX ix_catalogue_pending",
    ],
)
def test_check_finds_a_different_schema(catalogue: Catalogue, damage: str) -> None:
    with writing(catalogue.engine) as connection:
        connection.execute(sa.text(damage))
    assert len(check(catalogue.engine)) == 1


def test_check_ignores_tables_and_indexes_of_users(catalogue: Catalogue) -> None:
    with writing(catalogue.engine) as connection:
        connection.execute(sa.text("CREATE TABLE notes (text TEXT)"))
        connection.execute(sa.text("CREATE INDEX mine ON catalogue (url)"))
    assert check(catalogue.engine) == []


def test_check_finds_rows_of_an_unregistered_model(store: Catalogue) -> None:
    put(store, [labelled("/a"), labelled("/b")], "never registered")
    (finding,) = check(store.engine)
    assert "2 rows" in finding.what
    assert "never registered" in finding.what


FILLED = """
INSERT INTO crawls (name, created_at) VALUES ('spring', '2026-01-01 00:00:00');
INSERT INTO model_versions (version, figures, first_seen_at)
    VALUES ('model-1', '[]', '2026-01-01 00:00:00');
INSERT INTO labels (label, category, is_leaf) VALUES ('bags', 'bags', true);
INSERT INTO catalogue (id, crawl, path, path_key, status, {model}, category, best_leaf, confidence,
        model_version, labelled_at, created_at, updated_at)
    VALUES (7, 'spring', '/a', '0123456789abcdef', 'labelled', 'bags', 'bags', 'bags', 0.75,
        'model-1', '2026-01-02 00:00:00', '2026-01-01 00:00:00', '2026-01-01 00:00:00');
INSERT INTO label_history (catalogue_id, {model}, category, replaced_at)
    VALUES (7, 'bags', 'bags', '2026-01-02 00:00:00');
"""


def model_label_in(revision: str) -> str:
    """The column of the model's label."""
    return "model_label" if revision >= "0006" else "label"


@pytest.mark.parametrize("revision", schema.known())
def test_rows_survive_upgrade_and_downgrade(catalogue_url: str, revision: str) -> None:
    """From every revision, with rows: up to the newest, down to the first and up again."""
    engine = make_engine(catalogue_url)
    schema.upgrade(engine, revision)
    with writing(engine) as connection:
        for statement in FILLED.format(model=model_label_in(revision)).split(";\n"):
            if statement.strip():
                connection.execute(sa.text(statement))
    for way in ("head", "0001", "head"):
        if way == "head":
            schema.upgrade(engine)
        else:
            schema.downgrade(engine, way)
        with reading(engine) as connection:
            kept = connection.execute(sa.text("SELECT id, label, confidence FROM catalogue")).all()
            assert [tuple(row) for row in kept] == [(7, "bags", 0.75)]
            if way == "head":
                leaves = "best_leaf_confidence, second_leaf, leaf_probabilities"
                new = connection.execute(sa.text(f"SELECT {leaves} FROM catalogue")).one()
                assert tuple(new) == (None, None, None)
            column = model_label_in("0006" if way == "head" else way)
            history = connection.execute(
                sa.text(f"SELECT catalogue_id, {column} FROM label_history")
            )
            assert [tuple(row) for row in history] == [(7, "bags")]
    assert check(engine) == []
    with reading(engine) as connection:
        view = connection.execute(sa.text("SELECT label, labelled_by FROM catalogue_labels")).all()
    assert [tuple(row) for row in view] == [("bags", "model")]
    engine.dispose()


def test_downgrade_to_no_tables_and_upgrade(catalogue: Catalogue) -> None:
    schema.downgrade(catalogue.engine, "base")
    with reading(catalogue.engine) as connection:
        assert set(sa.inspect(connection).get_table_names()) == {"alembic_version"}
    schema.upgrade(catalogue.engine)
    schema.require_current(catalogue.engine)


def test_failed_upgrade_leaves_the_old_schema(catalogue_url: str) -> None:
    """An upgrade is one transaction, on SQLite too."""
    engine = make_engine(catalogue_url)
    with writing(engine) as connection:  # the last table of the first revision is in the way
        connection.execute(sa.text("CREATE TABLE label_history (id INTEGER)"))
    with pytest.raises(sa.exc.DBAPIError):
        schema.upgrade(engine)
    with reading(engine) as connection:
        assert sa.inspect(connection).get_table_names() == ["label_history"]
    engine.dispose()


def test_concurrent_first_opens(catalogue_url: str) -> None:
    barrier, failures = threading.Barrier(6), []

    def work() -> None:
        barrier.wait()
        try:
            Catalogue.open(catalogue_url).close()
        except Exception as error:  # noqa: BLE001 - any failure at all is the finding
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    Catalogue.open(catalogue_url, create=False).close()
