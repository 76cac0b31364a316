"""Whether a worker lives, is ready and has started, from files that its processes touch."""
