"""What importing the networks leaves out, and what stays usable nevertheless."""

from __future__ import annotations

import ast
import importlib.util
import subprocess
import sys

import pytest
from conftest import ROOT

from icmbench.core.imports import as_if_missing

NETWORKS = """
import importlib.metadata
import sys
import icmbench.codecs.diff_icmh.entropy.tables  # takes a part of SciPy
from icmbench.models.diffusers_networks import AutoencoderKL
import icmbench.codecs.diff_icmh.networks.control
import icmbench.codecs.mpd.model, icmbench.codecs.mpd.networks.reverse
seldom = {"transformers", "torchvision", "scipy.stats", "scipy.optimize", "torch._dynamo", "sympy"}
loaded = seldom & {*sys.modules}
assert not loaded, loaded
AutoencoderKL(block_out_channels=(32,))
import scipy.stats, torch, torchvision, transformers
assert transformers.CLIPTextModel and torchvision.ops.nms and scipy.stats.norm
from torch.nn.attention.flex_attention import BlockMask
assert BlockMask.from_kv_blocks
assert importlib.metadata.packages_distributions()["diffusers"] == ["diffusers"]
layer = torch.nn.Linear(2, 2)
assert torch.compiler.disable(layer.forward) is not layer.forward  # torch's own again
torch.optim.SGD(layer.parameters(), 0.1).step()
assert "torch._dynamo" in sys.modules
print("done")
"""


def run(program: str) -> str:
    """Output of a Python of its own."""
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_networks_load_without_what_pipelines_need() -> None:
    assert run(NETWORKS).endswith("done\n")


def test_one_place_imports_diffusers() -> None:
    """Whoever imports it elsewhere brings everything back, in every process."""
    places = set()
    for folder in ("icmbench", "workflow_scripts", "rules", "tools"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
                names += [a.name for a in node.names] if isinstance(node, ast.Import) else []
                if any(name.partition(".")[0] == "diffusers" for name in names):
                    places.add(path.relative_to(ROOT).as_posix())
    assert places == {"icmbench/models/diffusers_networks.py"}


def test_missing_only_meanwhile() -> None:
    sys.modules.pop("this", None)
    with as_if_missing(("this", "ast")):
        for name in ("this", "ast"):
            assert importlib.util.find_spec(name) is None
            with pytest.raises(ModuleNotFoundError):
                importlib.import_module(name)
    assert "this" not in sys.modules
    assert sys.modules["ast"] is ast


def test_labels_of_scenes_load_without_what_draws_them() -> None:
    """Every start of the workflow asks for labels."""
    program = """
import sys
import icmbench.scenes.labels
assert "icmbench.scenes.scene" not in sys.modules
from icmbench.scenes import render_scene
assert callable(render_scene)
print("done")
"""
    assert run(program).endswith("done\n")
