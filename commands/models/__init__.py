"""Commands to train, evaluate, convert, switch models and relabel."""
