"""Labelled pictures for training and evaluation: reading, grouping, splitting."""
