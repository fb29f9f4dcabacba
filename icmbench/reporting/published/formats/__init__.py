"""Formats of others' results files: a module each, and its entry in `published.importing`."""
