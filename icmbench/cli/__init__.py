"""The command line: one photo, no workflow."""

from icmbench.cli.main import main

__all__ = ["main"]
