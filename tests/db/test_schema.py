"""The schema's version: made, upgraded, refused; and equal to the models."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from db import schema
from db.catalogue import Catalogue
from db.errors import SchemaMissing, SchemaTooNew, SchemaTooOld
from db.models import metadata
from db.session import make_engine, reading, writing


def test_no_catalogue_is_said_so_and_none_is_made(catalogue_url: str, tmp_path: Path) -> None:
    with pytest.raises(SchemaMissing, match="label a folder"):
        Catalogue.open(catalogue_url, create=False)
    assert list(tmp_path.iterdir()) == []


def test_a_later_schema_is_refused_by_all(catalogue_url: str) -> None:
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


def test_an_earlier_schema_is_refused_or_upgraded(catalogue_url: str) -> None:
    Catalogue.open(catalogue_url).close()
    engine = make_engine(catalogue_url)
    if len(schema.known()) == 1:
        with writing(engine) as connection:
            connection.execute(sa.text("DELETE FROM alembic_version"))
        with pytest.raises(SchemaMissing):
            Catalogue.open(catalogue_url, create=False)
    else:
        schema.downgrade(engine, "0001")
        with pytest.raises(SchemaTooOld, match="db upgrade"):
            Catalogue.open(catalogue_url, create=False)
        Catalogue.open(catalogue_url, create=True).close()
        Catalogue.open(catalogue_url, create=False).close()
    engine.dispose()


def test_the_migrations_make_what_the_models_say(catalogue: Catalogue) -> None:
    with reading(catalogue.engine) as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True}
        )
        assert compare_metadata(context, metadata) == []


def test_down_to_nothing_and_up_again(catalogue: Catalogue) -> None:
    schema.downgrade(catalogue.engine, "base")
    with reading(catalogue.engine) as connection:
        assert set(sa.inspect(connection).get_table_names()) == {"alembic_version"}
    schema.upgrade(catalogue.engine)
    schema.require_current(catalogue.engine)


def test_an_upgrade_that_fails_midway_leaves_the_old_schema(catalogue_url: str) -> None:
    """The whole upgrade is one transaction, on SQLite too."""
    engine = make_engine(catalogue_url)
    with writing(engine) as connection:  # the last table of the first revision is in the way
        connection.execute(sa.text("CREATE TABLE label_history (id INTEGER)"))
    with pytest.raises(sa.exc.DBAPIError):
        schema.upgrade(engine)
    with reading(engine) as connection:
        assert sa.inspect(connection).get_table_names() == ["label_history"]
    engine.dispose()


def test_many_may_open_a_new_catalogue_at_once(catalogue_url: str) -> None:
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
