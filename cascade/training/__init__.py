"""Training: from labelled pictures to a bundle, and searches over settings."""
