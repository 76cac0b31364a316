"""The catalogue: tables, migrations, writes and queries. Knows nothing of the cascade."""
