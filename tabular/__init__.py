"""Files of rows that people and programs write: CSV, JSON lines, Parquet, lists of paths."""
