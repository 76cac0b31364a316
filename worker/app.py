"""The Celery application under the name that people use: ``celery -A worker.app worker``."""

from worker.queue.app import app

__all__ = ["app"]
