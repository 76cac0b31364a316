"""The catalogue: tables, migrations, idempotent writes and queries. Knows nothing of the cascade."""
