"""Commands that keep a catalogue and an installation in order."""
