"""Rules: the model that labels new pictures of a shop. `enqueue` follows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from db import clocks
from db.chunks import chunks
from db.errors import InvalidRecord
from db.session import reading, writing
from db.tables import catalogue, path_key, shop_models
from db.writes import bulk, registry
from db.writes.row_values import checked_text


@dataclass(frozen=True)
class ShopModel:
    """A rule, and since when."""

    shop: str
    version: str
    chosen_at: datetime


def choose(engine: Engine, shop: str, version: str) -> None:
    """Let a registered model label the shop's new pictures, instead of any chosen before.

    Raises:
        InvalidRecord: the shop has no name, or no such model is registered.
    """
    if not shop.strip():
        raise InvalidRecord(f"expected the name of a shop, received {shop!r}")
    name = checked_text(shop, "shop")
    with writing(engine) as connection:
        if version not in registry.versions(connection):
            raise InvalidRecord(f"expected a registered model, received {version!r}")
        row = {"shop": name, "version": version, "chosen_at": clocks.now(connection)}
        bulk.upsert(connection, shop_models, [row], key=("shop",))


def drop(engine: Engine, shop: str) -> bool:
    """Delete the rule of a shop; False: it has none."""
    with writing(engine) as connection:
        statement = sa.delete(shop_models).where(shop_models.c.shop == shop)
        return connection.execute(statement).rowcount > 0


def rules(engine: Engine) -> list[ShopModel]:
    """All rules, by shop."""
    with reading(engine) as connection:
        query = sa.select(shop_models).order_by(shop_models.c.shop)
        return [ShopModel(**values) for values in connection.execute(query).mappings()]


def known_shops(engine: Engine, crawl: str, paths: Sequence[str]) -> Mapping[str, str]:
    """The shops of those paths that have a row with one."""
    found: dict[str, str] = {}
    keys = {path_key(path): path for path in paths}
    with reading(engine) as connection:
        for chunk in chunks(keys, bulk.KEYS_PER_STATEMENT):
            query = sa.select(catalogue.c.path_key, catalogue.c.shop).where(
                catalogue.c.crawl == crawl,
                catalogue.c.path_key.in_(chunk),
                catalogue.c.shop.isnot(None),
            )
            found.update((keys[bytes(key)], shop) for key, shop in connection.execute(query))
    return found
