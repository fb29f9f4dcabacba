"""Drawings of the answers of tasks, one module per kind, of its name: its function `draw`."""
