"""The pipeline and the queue: what takes paths in and writes labelled rows."""
