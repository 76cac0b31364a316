"""Refits the heads of a trained cascade: features, and those of training that a bundle replays."""
