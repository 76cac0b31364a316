"""The pipeline and the queue: from paths to labelled rows."""
