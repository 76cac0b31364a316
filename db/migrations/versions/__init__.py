"""One module a revision, in order; never changed once released."""
