"""The catalogue as files: text, Arrow, Parquet, folders; and reading an export back."""
