"""Commands to label, query, review and export on one machine."""
