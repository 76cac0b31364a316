"""The Celery side: application, task, worker process, broker, metrics."""
