"""The naive worker: one task per picture, ``model.predict``, one commit per row.

``python -m benchmarks.naive_worker FILE`` sends a task for each line of FILE.
"""

from __future__ import annotations

import functools
import os
import sys
from pathlib import Path
from typing import Any

from celery import Celery

app = Celery("naive_worker", broker=os.environ["FASHION_CASCADE_BROKER_URL"])
app.conf.update(task_ignore_result=True, task_default_queue="naive_worker")


@functools.cache
def bundle_network_engine() -> tuple[Any, Any, Any]:
    """The bundle, its network and a database engine, made once per process."""
    import sqlalchemy as sa

    from cascade.bundle import Bundle
    from cascade.networks.serialisation import read_network

    bundle = Bundle.open(os.environ["FASHION_CASCADE_MODEL"])
    engine = sa.create_engine(os.environ["FASHION_CASCADE_CATALOGUE_URL"])
    return bundle, read_network(bundle.folder, 0), engine


@app.task(name="naive_worker.label")
def label(path: str) -> None:
    import sqlalchemy as sa

    from cascade.pictures.decode import load

    bundle, network, engine = bundle_network_engine()
    pixels = load(path, bundle.preprocessing).pixels
    answer = "rejected"
    if pixels is not None:
        answer = bundle.routing.label(network.predict(pixels[None], verbose=0))[0].label
    with engine.begin() as connection:
        query = "INSERT INTO labels VALUES (:path, :label) ON CONFLICT DO NOTHING"
        connection.execute(sa.text(query), {"path": path, "label": answer})


if __name__ == "__main__":
    for line in Path(sys.argv[1]).read_text().splitlines():
        label.delay(line)
