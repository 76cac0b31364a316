"""The commands of `cli.py`, one module each; each imports what it needs when it runs."""
