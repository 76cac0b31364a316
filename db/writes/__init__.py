"""The write operations behind `db.catalogue`: claims, pending rows, history, counters."""
