"""The catalogue in SQL: tables, migrations, writes, queries, exports."""
