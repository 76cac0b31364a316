"""Check before a worker starts whether it can label anything.

This module must not import Celery, which is slow to import: `fashion-cascade worker` runs these
checks before it becomes Celery's worker.
"""

from __future__ import annotations

from db.catalogue import Catalogue
from worker.errors import SettingsError
from worker.model_loader import open_model
from worker.queue.backend_digests import require_known_files
from worker.settings import Settings


def check_worker_can_start(settings: Settings) -> None:
    """Raise an error that would fail every shard.

    Raises:
        SettingsError, ModelUnusable, CatalogueError: see `resources`.
    """
    require_roots(settings)
    if settings.batch_size > settings.shard_size:
        raise SettingsError(
            f"batch_size is {settings.batch_size} and shard_size {settings.shard_size}: a batch "
            "never has more pictures than its shard; lower the first or raise the second"
        )
    if settings.device.startswith("gpu:") and settings.pool_size > 1:
        raise SettingsError(
            f"pool_size is {settings.pool_size} and device {settings.device}: expected one process "
            "per GPU; set pool_size to 1, and start a worker for each further GPU"
        )
    model = open_model(settings.model, settings.backend, features=settings.features)
    catalogue = Catalogue.open(settings.catalogue_url, create=False)
    try:
        require_known_files(catalogue, model)
    finally:
        catalogue.close()


def require_roots(settings: Settings) -> None:
    """Raise SettingsError without `roots`: a message could name any file of this machine."""
    if not settings.roots:
        raise SettingsError(
            "roots: expected the folders that this worker may read pictures from, received none; "
            "set FASHION_CASCADE_ROOTS=/folder,/other (or / to allow every file)"
        )
