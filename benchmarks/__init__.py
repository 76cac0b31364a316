"""Benchmarks: the project against the limits of the machine and the usual alternatives.

``make bench PHOTOS=folder`` runs all of them; results are in ``docs/performance.md``. The tests run
none.
"""
