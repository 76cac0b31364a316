"""The catalogue: tables, migrations, writes, queries and exports. Independent of the cascade."""
