"""Training of the bundled task models."""
