"""Codecs: one file per codec, found by the registry."""
