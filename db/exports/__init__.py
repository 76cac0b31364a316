"""Exports as text, SQLite, Arrow, Parquet and folders; importing an export."""
