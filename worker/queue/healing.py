"""Publishes messages that the broker lost again, on a timer in every worker, one at a time.

Only while the queue is empty: then every row that is still pending, and was not touched for long,
has no message. It is what ``requeue --stale --lost`` does by hand.
"""

from __future__ import annotations

import logging
import os
import threading

from db import ledger
from db.catalogue import Catalogue
from db.errors import CatalogueError
from db.writes import backend_digests, locks
from worker.errors import WorkerError
from worker.lease_owners import this_owner
from worker.queue.requeue import publish_again, queue_is_empty
from worker.settings import Settings

log = logging.getLogger(__name__)

LOCK = "requeue"


def untouched_seconds(settings: Settings) -> float:
    """How long a row must have been untouched to count as lost."""
    return max(float(settings.heal_seconds), 2.0 * settings.visibility_timeout)


def publish_lost(settings: Settings, age: float | None = None) -> int:
    """Publish lost rows again, unless another worker did so lately; the number of pictures.

    Raises:
        BrokerUnreachable, CatalogueError: try again later.
    """
    if not queue_is_empty(settings):
        return 0
    catalogue, total = Catalogue.open(settings.catalogue_url, create=False), 0
    try:
        age = untouched_seconds(settings) if age is None else age
        owner = this_owner(name=settings.worker_name)
        if not locks.take(catalogue.engine, LOCK, owner, settings.heal_seconds or 1):
            return 0
        digests = backend_digests.known(catalogue.engine)
        for crawl in ledger.crawl_names(catalogue.engine):
            found = ledger.stale_paths(catalogue.engine, crawl, age, lost=True)
            number = publish_again(settings, crawl, found, digests=digests)
            if number:
                log.warning(
                    "%s: %d pictures had lost their message and are requeued", crawl, number
                )
            total += number
    finally:
        catalogue.close()
    return total


def start(settings: Settings) -> None:
    """Look for lost rows every `heal_seconds`, in a thread, as long as the process lives."""
    if settings.heal_seconds:
        threading.Thread(target=_run, args=(settings,), daemon=True, name="healing").start()


def _run(settings: Settings) -> None:
    pause, process = threading.Event(), os.getpid()
    while os.getpid() == process:
        pause.wait(settings.heal_seconds)
        try:
            publish_lost(settings)
        except (WorkerError, CatalogueError) as error:
            log.info("lost messages are looked for later: %s", error)
        except Exception:
            log.exception("lost messages are looked for later")
