"""How fast the project is, beside the limits of the machine and what people would use instead.

``make bench PHOTOS=folder`` runs everything; see ``docs/performance.md``. Never part of the tests.
"""
