"""Keras networks: architectures, the pretrained trunk, and their files."""
