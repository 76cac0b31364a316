"""Commands around models: train, evaluate, convert, switch, relabel."""
