"""Commands for the queue: workers, enqueueing, status and repair."""
