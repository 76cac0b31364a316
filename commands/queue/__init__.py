"""Commands around the queue: workers, enqueueing, status, repair."""
