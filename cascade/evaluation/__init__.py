"""Evaluation: metrics, answers, comparisons and reports."""
