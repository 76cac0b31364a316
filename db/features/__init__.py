"""Vectors of pictures, by the hash of their bytes, and the search among them.

    from db.features import VectorIndex, missing, similar

    index = VectorIndex.load(engine, digest)
    for row, cosine in similar(engine, index, vector, Filter(crawl="spring"), limit=20):
        print(row.path, cosine)

A vector belongs to the digest of the trunk and the directions that made it. Vectors of different
digests cannot be compared, so every function takes one digest.
"""

from db.features.cache import IndexCache
from db.features.index import VectorIndex
from db.features.similar import groups_alike, missing, rows_of, rows_without, similar
from db.features.vectors import add, digests_of, remove_orphans, stored, write

__all__ = ["IndexCache", "VectorIndex", "add", "digests_of", "groups_alike", "missing"]
__all__ += ["remove_orphans", "rows_of", "rows_without", "similar", "stored", "write"]
