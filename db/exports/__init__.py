"""Exports of the catalogue as text, SQLite, Arrow, Parquet and folders; reading an export back."""
