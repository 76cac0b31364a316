"""Commands for one machine and for people: label, query, review, export."""
