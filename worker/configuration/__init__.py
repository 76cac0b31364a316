"""What a setting declares: its type, what of it may be shown, and the files of its value."""
