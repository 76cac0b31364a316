"""What claims, batches and crawls write to the catalogue. Called by `db.catalogue`."""
