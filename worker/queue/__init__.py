"""Celery: application, task, worker process, broker, metrics."""
