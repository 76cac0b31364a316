"""Refits the heads of a trained cascade: features, and those of training that a bundle replays."""

# The page of `serve` shows how many are lacking; nothing heavy may be imported here.
MIN_GROUPS = 10  # products that corrections must be of, so that five folds of two can judge them
