"""The compose file and the images, run for real: ``make test-containers``."""
