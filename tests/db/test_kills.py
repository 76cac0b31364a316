"""kill -9 during a migration, `review apply` or a promotion: no step is half done.

The process kills itself right before its Nth SQL statement, so no test depends on timing.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa

from db import human_labels, relabelling, schema
from db.catalogue import Catalogue
from db.check import check
from db.human_labels import Correction
from db.queries import Filter, count, rows
from db.records import FileState
from db.session import make_engine, reading
from tests.db.samples import CRAWL, LEASE_SECONDS, MODEL, OTHER_MODEL, SUNGLASSES, labelled

ROOT = Path(__file__).parents[2]
ROWS = 40
KILLED = """
import os, signal, sys
import sqlalchemy as sa
from db import human_labels, relabelling, schema
from db.human_labels import Correction
from db.queries import Filter, rows
from db.session import make_engine
what, url, number = sys.argv[1], sys.argv[2], int(sys.argv[3])
engine, seen = make_engine(url), 0
def statement(*_):
    global seen
    seen += 1
    if seen == number:
        os.kill(os.getpid(), signal.SIGKILL)
relabelling.ROWS_PER_TRANSACTION = 8
ids = [row.id for row in rows(engine, Filter())] if what == "apply" else []
sa.event.listen(engine, "before_cursor_execute", statement)
if what == "upgrade":
    schema.upgrade(engine)
elif what == "apply":
    human_labels.apply(engine, [Correction(i, "shoes/male/boots") for i in ids], "mara")
else:
    relabelling.promote(engine, "model-2")
"""


def killed(what: str, url: str, number: int) -> None:
    """Do `what` in another process that kills itself before its statement `number`."""
    arguments = [sys.executable, "-c", KILLED, what, url, str(number)]
    assert subprocess.run(arguments, cwd=ROOT, check=False).returncode == -signal.SIGKILL


@pytest.fixture
def filled(store: Catalogue) -> Catalogue:
    """Forty labelled rows."""
    files = [FileState(f"/{n}", 10, 1.5) for n in range(ROWS)]
    store.claim(CRAWL, files, "me", LEASE_SECONDS, MODEL)
    store.store(CRAWL, "me", MODEL, [labelled(file.path) for file in files])
    return store


@pytest.mark.parametrize("number", [6, 14, 25, 35, 37])
def test_killed_migration_leaves_the_old_schema(catalogue_url: str, number: int) -> None:
    engine = make_engine(catalogue_url)
    schema.upgrade(engine, "0001")
    with reading(engine) as connection:
        before = sorted(sa.inspect(connection).get_table_names())
    killed("upgrade", catalogue_url, number)
    with reading(engine) as connection:
        assert schema.current(connection) == "0001"
        assert sorted(sa.inspect(connection).get_table_names()) == before
    schema.upgrade(engine)
    assert check(engine) == []
    engine.dispose()


@pytest.mark.parametrize("number", [4, 5])
def test_killed_apply_has_applied_nothing(
    filled: Catalogue, catalogue_url: str, number: int
) -> None:
    killed("apply", catalogue_url, number)
    assert count(filled.engine, Filter(corrected=True)) == 0
    ids = [row.id for row in rows(filled.engine, Filter())]
    wanted = [Correction(row_id, "shoes/male/boots") for row_id in ids]
    assert human_labels.apply(filled.engine, wanted, "mara").changed == ROWS
    assert check(filled.engine) == []


@pytest.mark.parametrize("number", [4, 9, 17])
def test_killed_promotion_is_resumed(filled: Catalogue, catalogue_url: str, number: int) -> None:
    relabelling.begin(filled.engine, Filter(), OTHER_MODEL)
    relabels = relabelling.open_relabels(filled.engine)
    files = [FileState(f"/{n}") for n in range(ROWS)]
    relabels.claim(CRAWL, files, "me", LEASE_SECONDS, OTHER_MODEL, reopen=False)
    said = [labelled(f.path, SUNGLASSES, content_hash=f"hash of {f.path}") for f in files]
    relabels.store(CRAWL, "me", OTHER_MODEL, said)
    killed("promote", catalogue_url, number)
    promoted = count(filled.engine, Filter(model_version=OTHER_MODEL))
    left = relabelling.counts(filled.engine, OTHER_MODEL)["labelled"]
    assert promoted + left == ROWS
    assert left > 0
    with reading(filled.engine) as connection:
        kept = connection.execute(sa.text("SELECT count(*) FROM label_history")).scalar()
    assert kept == promoted
    assert relabelling.promote(filled.engine, OTHER_MODEL) == left
    assert count(filled.engine, Filter(label="glasses/sunglasses")) == ROWS
    assert check(filled.engine) == []
