"""Kinds of machine tasks, one file each."""
