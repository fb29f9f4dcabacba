"""Learned codecs of CompressAI's model zoo, with its published weights."""
