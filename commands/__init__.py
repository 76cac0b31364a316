"""The commands of ``cli.py``, a module each; what they need is imported when they run."""
