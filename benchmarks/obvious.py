"""The worker that comes to mind first, for comparison: a task a picture, ``model.predict``, a
commit a row. ``python -m benchmarks.obvious FILE`` sends a task for each line of the file."""

from __future__ import annotations

import functools
import os
import sys
from pathlib import Path
from typing import Any

from celery import Celery

app = Celery("obvious", broker=os.environ["FASHION_CASCADE_BROKER_URL"])
app.conf.update(task_ignore_result=True, task_default_queue="obvious")


@functools.cache
def parts() -> tuple[Any, Any, Any]:
    """The bundle, its network and a database, once a process."""
    import sqlalchemy as sa

    from cascade.bundle import Bundle
    from cascade.networks.serialisation import read_network

    bundle = Bundle.open(os.environ["FASHION_CASCADE_MODEL"])
    engine = sa.create_engine(os.environ["FASHION_CASCADE_CATALOGUE_URL"])
    return bundle, read_network(bundle.folder, 0), engine


@app.task(name="obvious.label")
def label(path: str) -> None:
    import sqlalchemy as sa

    from cascade.pictures.decode import load

    bundle, network, engine = parts()
    pixels = load(path, bundle.preprocessing).pixels
    said = "rejected"
    if pixels is not None:
        said = bundle.routing.label(network.predict(pixels[None], verbose=0))[0].label
    with engine.begin() as connection:
        query = "INSERT INTO labels VALUES (:path, :label) ON CONFLICT DO NOTHING"
        connection.execute(sa.text(query), {"path": path, "label": said})


if __name__ == "__main__":
    for line in Path(sys.argv[1]).read_text().splitlines():
        label.delay(line)
