"""Decoding elsewhere: streams and models travel, pictures come back and are compared."""
