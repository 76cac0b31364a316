"""Work one delivery of a shard in this process: ``python -m tests.worker.queue.delivery …``.

The arguments are what Celery says of the delivery, as JSON, the crawl, a path whose lease a process
holds that has died since this one looked for dead processes, and the other paths of the shard.
"""

from __future__ import annotations

import json
import subprocess
import sys

from worker.lease_owners import this_owner
from worker.queue.lifecycle import resources
from worker.queue.tasks import label_shard

LEASE_SECONDS = 3600.0


def hold_alone_and_die(crawl: str, path: str) -> None:
    """Lease `path` alone in the name of a process that is then dead."""
    held = resources()
    lease = (LEASE_SECONDS, held.models.default().version)
    with subprocess.Popen(["sleep", "3600"]) as process:
        held.catalogue.claim_alone(crawl, path, this_owner(process.pid), *lease)
        process.kill()


if __name__ == "__main__":
    delivery, crawl, held_path, *others = sys.argv[1:]
    hold_alone_and_die(crawl, held_path)
    label_shard.push_request(**json.loads(delivery))
    label_shard.run(crawl=crawl, paths=[held_path, *others], shard="s")
