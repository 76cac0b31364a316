"""From a file to the tensor: reading, format, colour, fitting."""
