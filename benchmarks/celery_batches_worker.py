"""The Celery application of the celery-batches contender.

``python -m benchmarks.celery_batches_worker FILE`` sends a task for each line of FILE.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import redis
from celery import Celery
from celery_batches import Batches

app = Celery("gathering", broker=os.environ["FASHION_CASCADE_BROKER_URL"])
app.conf.update(task_ignore_result=True, task_default_queue="gathering")


@functools.cache
def cascade_and_redis() -> tuple[Any, Any]:
    """The cascade and the Redis client, made once per process."""
    from cascade.classifier import Cascade

    model, backend = (os.environ[f"FASHION_CASCADE_{name}"] for name in ("MODEL", "BACKEND"))
    return Cascade.load(model, backend=backend), redis.Redis.from_url(app.conf.broker_url)


@app.task(name="gathering.label", base=Batches, flush_every=64, flush_interval=0.5)
def label(requests: Sequence[Any]) -> None:
    from benchmarks.local import map_ahead
    from cascade.pictures.decode import load

    cascade, client = cascade_and_redis()
    paths = [request.args[0] for request in requests]
    found = map_ahead(lambda path: load(path, cascade.preprocessing).pixels, paths, 64)
    decoded = [pixels for pixels in found if pixels is not None]
    if decoded:
        cascade.classify(np.stack(decoded))
    client.incrby("labelled", len(paths))


if __name__ == "__main__":
    for line in Path(sys.argv[1]).read_text().splitlines():
        label.delay(line)
