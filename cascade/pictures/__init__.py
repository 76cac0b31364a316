"""Turns picture files into tensors: reading, format detection, colour, resizing."""
