"""Errors, files, images, devices, registries, logs and fingerprints: the base of every layer."""
