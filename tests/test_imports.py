"""Imports that stay cheap because every start of the workflow makes them."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import sys
import icmbench.scenes.labels
assert "icmbench.scenes.scene" not in sys.modules
from icmbench.scenes import render_scene
assert callable(render_scene)
print("done")
"""


def test_labels_of_scenes_load_without_what_draws_them() -> None:
    """Every start of the workflow asks for labels."""
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.stdout == "done\n", done.stderr
