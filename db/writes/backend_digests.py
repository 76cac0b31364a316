"""The digests of each model's backends, as pictures were last enqueued with them.

They are kept in the figures of the model version, where `models show` prints them.
"""

from __future__ import annotations

from collections.abc import Mapping

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from db.session import reading, writing
from db.tables import model_versions

KEY = "backend_digests"
Digests = Mapping[str, str]  # backend -> digest of its files


def known(engine: Engine) -> dict[str, Digests]:
    """The digests by model version, of those that pictures were enqueued for."""
    query = sa.select(model_versions.c.version, model_versions.c.figures)
    with reading(engine) as connection:
        found = [(version, figures.get(KEY)) for version, figures in connection.execute(query)]
    return {version: digests for version, digests in found if isinstance(digests, dict)}


def record(engine: Engine, version: str, digests: Digests) -> None:
    """Record the digests that pictures are enqueued with from now on; idempotent."""
    table = model_versions
    query = sa.select(table.c.figures).where(table.c.version == version).with_for_update()
    with writing(engine) as connection:
        figures = connection.execute(query).scalar_one()
        values = {"figures": {**figures, KEY: dict(digests)}}
        connection.execute(sa.update(table).where(table.c.version == version).values(values))
