"""Commands to maintain a catalogue and an installation."""
